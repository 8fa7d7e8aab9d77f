"""Makes connections: name resolution, proxies, TLS."""

import asyncio
import logging
import math
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import cache
from typing import NamedTuple, TypedDict, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs
from msgspec import Struct

from app.bedrock.http1.connection import Connection
from app.errors import ConnectTimeout, UpstreamUnreachable

_log = logging.getLogger(__name__)

Addresses = list[aiohappyeyeballs.AddrInfoType]
Resolve = Callable[[str, int], Awaitable[Addresses]]
ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)

# NAT gateways and load balancers forget a silent connection after 350 s: docs/reference/contracts/limits.md#timeouts
_KEEPALIVE_IDLE_SECONDS = 45
_HAPPY_EYEBALLS_SECONDS = 0.25  # RFC 8305
_RESOLVED_SECONDS = 10.0
_MAX_NAMES = 1024
_TLS_SHUTDOWN_SECONDS = 2.0
_MAX_TUNNEL_HEAD_BYTES = 16 * 1024
_PORTS = {"http": 80, "https": 443}


class _Tls(TypedDict, total=False):
    """Arguments of asyncio's `create_connection`."""

    ssl: ssl.SSLContext
    server_hostname: str
    ssl_shutdown_timeout: float


class HostPort(NamedTuple):
    """The address of a server or a proxy."""

    host: str
    port: int
    is_tls: bool


class Origin(Struct, frozen=True):
    """A server, and the URL of the proxy before it, if any. authority: host and port as the URL spells them."""

    server: HostPort
    authority: str
    proxy: str = ""

    @property
    def is_forwarded(self) -> bool:
        """True if a proxy forwards the requests, and needs absolute URLs in them."""
        return bool(self.proxy) and not self.server.is_tls

    @property
    def first_hop(self) -> HostPort:
        """The proxy, or the server where there is none."""
        return _parse_host_port(self.proxy) if self.proxy else self.server


def parse_origin(origin: str, *, uses_proxies: bool = True) -> Origin:
    """Parse `scheme://authority`, and look its proxy up in the environment.

    Raises:
        ValueError: it is not an HTTP URL, or the URL of its proxy is not one.
    """
    server, parts = _parse_host_port(origin), urlsplit(origin)
    return Origin(server, parts.netloc.rpartition("@")[2], _proxy_for(parts) if uses_proxies else "")


def _proxy_for(server: SplitResult) -> str:
    proxy = proxies().get(server.scheme, "")
    if proxy:
        from urllib.request import proxy_bypass

        return "" if proxy_bypass(server.netloc) else proxy
    return ""


def proxies() -> dict[str, str]:
    """Read the proxies that the environment names, by the scheme of the URLs they serve.

    Raises:
        ValueError: one is not reached by HTTP.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies  # takes a megabyte

    found = {}
    for scheme, proxy in getproxies().items():
        if scheme in _PORTS:
            found[scheme] = proxy if "://" in proxy else f"http://{proxy}"
            try:
                _parse_host_port(found[scheme])
            except ValueError:
                raise ValueError(f"the proxy for {scheme} is not reached by HTTP") from None
    return found


def authorization_for(proxy: str) -> tuple[tuple[str, str], ...]:
    """Make the `proxy-authorization` header from the name and password in a proxy's URL, if it has any."""
    parts = urlsplit(proxy)
    if not parts.username:
        return ()
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return (("proxy-authorization", f"Basic {b64encode(secret.encode()).decode()}"),)


class CachingResolver:
    """Resolves names, and caches their addresses for some seconds. Concurrent lookups of one name share a query."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Future[Addresses]]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return the addresses of a name.

        Raises:
            OSError: it has none.
        """
        loop = asyncio.get_running_loop()
        expires, lookup = self._lookups.get((host, port), (0.0, None))
        if lookup is None or (lookup.done() and (loop.time() >= expires or _has_failed(lookup))):
            lookup = asyncio.ensure_future(_look_up(host, port))
            self._lookups[host, port] = (math.inf, lookup)
            lookup.add_done_callback(lambda done: self._keep(host, port, done))
        await asyncio.wait({lookup})
        return lookup.result()

    def _keep(self, host: str, port: int, lookup: "asyncio.Future[Addresses]") -> None:
        if len(self._lookups) > _MAX_NAMES:
            self._lookups.clear()
        if _has_failed(lookup):
            self._lookups.pop((host, port), None)
        else:
            self._lookups[host, port] = (lookup.get_loop().time() + _RESOLVED_SECONDS, lookup)


class Connector:
    """Makes connections.

    Args:
        trust: returns the TLS context, with the trusted certificates; called for the first connection by TLS.
        resolve: returns the addresses of a name that may be connected to; raises OSError where there are none.
    """

    def __init__(self, trust: Callable[[], ssl.SSLContext], resolve: Resolve | None = None) -> None:
        self._trust = cache(trust)
        self._resolve = resolve or CachingResolver().resolve

    async def connect(self, origin: Origin, make: Callable[[], Connection], seconds: float) -> Connection:
        """Connect to the origin, through its proxy if it has one, within so many seconds.

        Raises:
            ConnectTimeout, UpstreamUnreachable: connecting failed. The message quotes nothing that was received.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(origin, make)
        except TimeoutError:
            raise ConnectTimeout("connecting to Bedrock took too long", detail="connect timeout") from None
        except ssl.SSLError as error:
            raise UpstreamUnreachable(
                "the TLS connection to Bedrock failed", retry_here=False, detail=type(error).__name__
            ) from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a malformed name
            raise UpstreamUnreachable(
                "Bedrock could not be reached", detail=f"{type(error).__name__}: {error}"
            ) from None

    async def probe(self, origin: Origin, seconds: float) -> str:
        """Connect to the origin as requests do, and hang up.

        Returns:
            Why it failed, without addresses, which are logged; or an empty string.
        """
        host_port, server = origin.first_hop, origin.server
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect(origin, _Probe)
        except (OSError, UnicodeError) as error:
            through = "" if host_port is server else f" by {host_port.host}:{host_port.port}"
            _log.warning("cannot connect to %s:%s%s (%s)", server.host, server.port, through, type(error).__name__)
            return f"cannot connect{' by the proxy' if through else ''} ({type(error).__name__})"
        connection.abort()
        return ""

    async def _connect(self, origin: Origin, make: Callable[[], ProtocolT]) -> ProtocolT:
        loop = asyncio.get_running_loop()
        host_port, server = origin.first_hop, origin.server
        connected = await self._connect_socket(host_port)
        options: _Tls = {}
        if host_port.is_tls:
            options = {
                "ssl": self._trust(),
                "server_hostname": host_port.host,
                "ssl_shutdown_timeout": _TLS_SHUTDOWN_SECONDS,
            }
        if host_port is server or origin.is_forwarded:
            _, connection = await loop.create_connection(make, sock=connected, **options)
            return connection
        transport, tunnel = await loop.create_connection(_ProxyTunnel, sock=connected, **options)
        try:
            host = f"[{server.host}]" if ":" in server.host else server.host
            await tunnel.open(f"{host}:{server.port}", authorization_for(origin.proxy))
            connection = make()
            upgraded = await loop.start_tls(
                transport,
                connection,
                self._trust(),
                server_hostname=server.host,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS,
            )
        except BaseException:
            transport.abort()
            raise
        if upgraded is None:
            raise ConnectionResetError("the proxy hung up")
        connection.connection_made(upgraded)
        return connection

    async def _connect_socket(self, host_port: HostPort) -> socket.socket:
        addresses = await self._resolve(host_port.host, host_port.port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address that may be connected to")
        return await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS,
            interleave=1,
            socket_factory=_make_socket,
        )


class _Probe(asyncio.Protocol):
    """Connects, and sends nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class _ProxyTunnel(asyncio.Protocol):
    """Sends CONNECT to a proxy, and reads the head of its response."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport
        self._status: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._status.add_done_callback(_retrieve_exception)

    async def open(self, authority: str, headers: tuple[tuple[str, str], ...]) -> None:
        """Have the proxy connect to `authority`.

        Raises:
            OSError: the proxy refuses, or its response is malformed.
        """
        lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}", *(": ".join(header) for header in headers)]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = await self._status
        if status != b"200":
            raise ConnectionRefusedError(f"the proxy responded with {status.decode('latin-1')}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read the head; bytes after it are refused, since the server behind the tunnel speaks second in TLS."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if self._status.done():
            return
        is_open = head[9:12] == b"200"
        if (end and rest and is_open) or len(head) > _MAX_TUNNEL_HEAD_BYTES:
            self._status.set_exception(ConnectionRefusedError("the proxy's response is malformed"))
        elif end:
            self._status.set_result(head[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request for a tunnel, unless it was answered."""
        del exc
        if not self._status.done():
            self._status.set_exception(ConnectionResetError("the proxy hung up"))


def _parse_host_port(url: str) -> HostPort:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no URL of HTTP")
    return HostPort(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "https")


async def _look_up(host: str, port: int) -> Addresses:
    name = host.encode() if host.isascii() else host
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    # given str, uvloop would load the tables of internationalised names, 0.3 MB for good, which no address needs
    return [
        (family, kind, protocol, canonical, (str(address[0]).encode(), *address[1:]))
        for family, kind, protocol, canonical, address in found
    ]


def _has_failed(lookup: "asyncio.Future[Addresses]") -> bool:
    return lookup.cancelled() or lookup.exception() is not None


def _retrieve_exception(status: "asyncio.Future[bytes]") -> None:
    """Keep asyncio from logging an exception that nobody waited for."""
    if not status.cancelled():
        status.exception()


def _make_socket(address: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_IDLE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
