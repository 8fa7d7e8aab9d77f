"""Makes connections: a name's addresses, the proxy before it, TLS."""

import asyncio
import math
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohappyeyeballs
from msgspec import Struct

from app.bedrock.http1.connection import Connection
from app.errors import ConnectTimeout, UpstreamUnreachable

Addresses = list[tuple[int, int, int, str, tuple[Any, ...]]]
Resolve = Callable[[str, int], Awaitable[Addresses]]
Spoken = TypeVar("Spoken", bound=asyncio.Protocol)

# NAT gateways and load balancers forget a silent connection after 350 s: docs/reference/contracts/limits.md#timeouts
_KEEPALIVE_IDLE_SECONDS = 45
_SECOND_ADDRESS_SECONDS = 0.25  # RFC 8305
_RESOLVED_SECONDS = 10.0
_MAX_NAMES = 1024
_GOODBYE_SECONDS = 2.0
_TUNNEL_HEAD_BYTES = 16 * 1024
_PORTS = {"http": 80, "https": 443}


class HostPort(NamedTuple):
    """A server that is connected to."""

    host: str
    port: int
    is_tls: bool


class Origin(Struct, frozen=True):
    """Where requests go.

    authority: what stands between scheme and path. proxy: the URL of the proxy before it, or nothing.
    """

    server: HostPort
    authority: str
    proxy: str = ""

    @property
    def is_forwarded(self) -> bool:
        """True if a proxy reads the requests itself, and wants to be told where they go."""
        return bool(self.proxy) and not self.server.is_tls

    @property
    def first_hop(self) -> HostPort:
        """What is connected to: the proxy, or the server where there is none."""
        return _parse_host_port(self.proxy) if self.proxy else self.server


def parse_origin(origin: str, *, uses_proxies: bool = True) -> Origin:
    """What `scheme://authority` says, and, if proxies are to be used, what the environment says of one for it.

    Raises:
        ValueError: it is no such thing, or its proxy is none.
    """
    server, parts = _parse_host_port(origin), urlsplit(origin)
    proxy = "" if not uses_proxies or proxy_bypass(parts.netloc) else proxies().get(parts.scheme, "")
    return Origin(server, parts.netloc.rpartition("@")[2], proxy)


def proxies() -> dict[str, str]:
    """The proxies the environment names, by the scheme of what is behind them.

    Raises:
        ValueError: one is not reached by HTTP.
    """
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
    """The header that shows a proxy the name and password in its URL, if it has any."""
    parts = urlsplit(proxy)
    if not parts.username:
        return ()
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return (("proxy-authorization", f"Basic {b64encode(secret.encode()).decode()}"),)


class Names:
    """Resolves names, remembers the answers for a while, and asks once for all who ask at once."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], tuple[float, asyncio.Future[Addresses]]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """The addresses of a name.

        Raises:
            OSError: it has none.
        """
        loop = asyncio.get_running_loop()
        expires, answer = self._answers.get((host, port), (0.0, None))
        if answer is None or (answer.done() and (loop.time() >= expires or _has_failed(answer))):
            answer = asyncio.ensure_future(_ask(host, port))
            self._answers[host, port] = (math.inf, answer)
            answer.add_done_callback(lambda done: self._note(host, port, done))
        await asyncio.wait({answer})
        return answer.result()

    def _note(self, host: str, port: int, answer: "asyncio.Future[Addresses]") -> None:
        if len(self._answers) > _MAX_NAMES:
            self._answers.clear()
        if _has_failed(answer):
            self._answers.pop((host, port), None)
        else:
            self._answers[host, port] = (answer.get_loop().time() + _RESOLVED_SECONDS, answer)


class Dialer:
    """Makes connections.

    Args:
        trust: whom TLS trusts.
        resolve: the addresses of a name that may be connected to; raises OSError where there are none.
    """

    def __init__(self, trust: ssl.SSLContext, resolve: Resolve | None = None) -> None:
        self._trust = trust
        self._resolve = resolve or Names().resolve

    async def connect(self, origin: Origin, make: Callable[[], Connection], seconds: float) -> Connection:
        """A connection to the origin, over its proxy if it has one, within so many seconds.

        Raises:
            ConnectTimeout, UpstreamUnreachable: there is none. What Bedrock or a proxy said is not told.
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
        except (OSError, UnicodeError) as error:  # the latter where a name cannot be one
            raise UpstreamUnreachable(
                "Bedrock could not be reached", detail=f"{type(error).__name__}: {error}"
            ) from None

    async def probe(self, origin: Origin, seconds: float) -> str:
        """Connect to the origin as calls do, TLS and proxy included, and hang up. Returns why it failed, or nothing."""
        host_port, server = origin.first_hop, origin.server
        try:
            async with asyncio.timeout(seconds):
                made = await self._connect(origin, _Look)
        except (OSError, UnicodeError) as error:
            way = "" if host_port is server else f" by {host_port.host}:{host_port.port}"
            return f"cannot connect to {server.host}:{server.port}{way} ({type(error).__name__})"
        made.hang_up()
        return ""

    async def _connect(self, origin: Origin, make: Callable[[], Spoken]) -> Spoken:
        loop = asyncio.get_running_loop()
        host_port, server = origin.first_hop, origin.server
        made = await self._socket(host_port)
        options = self._tls(host_port) if host_port.is_tls else {}
        if host_port is server or origin.is_forwarded:
            _, connection = await loop.create_connection(make, sock=made, **options)
            return connection
        transport, tunnel = await loop.create_connection(_Tunnel, sock=made, **options)
        try:
            host = f"[{server.host}]" if ":" in server.host else server.host
            await tunnel.open(f"{host}:{server.port}", authorization_for(origin.proxy))
            connection = make()
            options = self._tls(server)
            upgraded = await loop.start_tls(transport, connection, options.pop("ssl"), **options)
        except BaseException:
            transport.abort()
            raise
        if upgraded is None:
            raise ConnectionResetError("the proxy hung up")
        connection.connection_made(upgraded)
        return connection

    def _tls(self, host_port: HostPort) -> dict[str, Any]:
        return {
            "ssl": self._trust,
            "server_hostname": host_port.host,
            "ssl_shutdown_timeout": _GOODBYE_SECONDS,
        }

    async def _socket(self, host_port: HostPort) -> socket.socket:
        addresses = await self._resolve(host_port.host, host_port.port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address that may be connected to")
        return await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS,
            interleave=1,
            socket_factory=_make_socket,
        )


class _Look(asyncio.Protocol):
    """Says nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other side is there."""
        self._transport = cast(asyncio.Transport, transport)

    def hang_up(self) -> None:
        """Leave."""
        self._transport.abort()


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through (CONNECT), and reads what it says to that."""

    def __init__(self) -> None:
        self._heard = b""
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answer.add_done_callback(_look_at)

    async def open(self, authority: str, headers: tuple[tuple[str, str], ...]) -> None:
        """Ask.

        Raises:
            OSError: it does not want to, or says something else.
        """
        lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}", *(": ".join(header) for header in headers)]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = await self._answer
        if status != b"200":
            raise ConnectionRefusedError(f"the proxy answered {status.decode('latin-1')}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The proxy is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """It speaks; nothing may follow its head, for the other side has not been greeted yet."""
        self._heard += data
        head, end, rest = self._heard.partition(b"\r\n\r\n")
        if self._answer.done():
            return
        is_open = head[9:12] == b"200"
        if (end and rest and is_open) or len(head) > _TUNNEL_HEAD_BYTES:
            self._answer.set_exception(ConnectionRefusedError("the proxy's answer made no sense"))
        elif end:
            self._answer.set_result(head[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        """It hung up."""
        del exc
        if not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the proxy hung up"))


def _parse_host_port(url: str) -> HostPort:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no URL of HTTP")
    return HostPort(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "https")


async def _ask(host: str, port: int) -> Addresses:
    name = host.encode() if host.isascii() else host
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    # of text uvloop would load the tables of internationalised names, 0.3 MB for good, which no address needs
    return [(*rest, (address.encode(), *more)) for *rest, (address, *more) in cast(Any, found)]


def _has_failed(answer: "asyncio.Future[Any]") -> bool:
    return answer.cancelled() or answer.exception() is not None


def _look_at(answer: "asyncio.Future[Any]") -> None:
    """An error that nobody waited for is no news."""
    if not answer.cancelled():
        answer.exception()


def _make_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_IDLE_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
