"""The transport: sends a request on an idle connection of its pool, or on a new one."""

import asyncio
import ssl
from collections import defaultdict
from functools import partial
from pathlib import Path

from msgspec import Struct

from app.bedrock.http1.connection import Connection
from app.bedrock.http1.connector import Connector, Origin, Resolve, authorization_for, parse_origin, proxies
from app.bedrock.http1.response import Http1Response, StaleConnection
from app.bedrock.transport import HttpRequest

_IDLE_SECONDS = 30.0
_MAX_IDLE = 512
_MAX_DESTINATIONS = 1024
# callers choose parts of a URL, and long ones are not kept
_MAX_KEPT_URL_LENGTH = 512
_WITH_LENGTH = ("POST", "PUT", "PATCH")


class _Destination(Struct, frozen=True):
    """What all requests to one URL share.

    start: the head from the request target to the `host` header, without its line break.
    end: from there, the headers for a proxy and the empty line.
    """

    origin: Origin
    start: str
    end: str


class Http1Transport:
    """Sends requests. See `Transport`.

    Args:
        connect_timeout: seconds to connect, TLS included.
        read_timeout: seconds without a byte, before the first and between bytes.
        ca_bundle: trusted certificates (PEM) instead of the system's.
        resolve: see `Connector`. uses_proxies: use those that the environment names. keeps_idle: keep connections for
            the next request to their origin.

    Raises:
        ValueError: the environment names a proxy that is not reached by HTTP.
    """

    def __init__(
        self,
        connect_timeout: float,
        read_timeout: float,
        ca_bundle: Path | None = None,
        resolve: Resolve | None = None,
        *,
        uses_proxies: bool = True,
        keeps_idle: bool = True,
    ) -> None:
        proxies()
        self._uses_proxies = uses_proxies
        self._keeps_idle = keeps_idle
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._connector = Connector(partial(ssl.create_default_context, cafile=ca_bundle), resolve)
        self._pool = _Pool()
        self._origins: dict[str, Origin] = {}
        self._destinations: dict[str, _Destination] = {}

    async def open(self, request: HttpRequest) -> Http1Response:
        """Send, and wait for the head of the response. See `Transport.open`.

        Raises:
            ValueError: the method is HEAD, whose responses have no body although their head announces one; or a URL
                or header is malformed.
        """
        if request.method == "HEAD":
            raise ValueError("HEAD is not supported")
        destination = self._destinations.get(request.url) or self._locate(request.url)
        head = _head(request, destination)
        connect, first_byte, idle = request.timeouts
        first_byte, idle = first_byte or self._read_timeout, idle or self._read_timeout
        origin = destination.origin
        connection = self._pool.take(origin)
        while True:
            if connection is None:
                release = partial(self._pool.put, origin) if self._keeps_idle else Connection.abort
                make = partial(Connection, release)
                connection = await self._connector.connect(origin, make, connect or self._connect_timeout)
            response = connection.send(head, request.body, first_byte, idle)
            try:
                await response.head
            except StaleConnection:
                connection = None  # it ended before the request arrived: a new connection is not a second attempt
            except BaseException:
                response.close()
                raise
            else:
                return response

    async def probe(self, url: str) -> str:
        """Connect to `url`'s host, or to the proxy before it, and hang up. See `Transport.probe`."""
        return await self._connector.probe(self._locate(url).origin, self._connect_timeout)

    async def close(self) -> None:
        """Close all idle connections; those in use close when their responses end."""
        self._pool.close()

    def _locate(self, url: str) -> _Destination:
        scheme, _, rest = url.partition("#")[0].partition("://")
        slash, query = rest.find("/"), rest.find("?")
        end = min((index for index in (slash, query) if index >= 0), default=len(rest))
        key, target = f"{scheme}://{rest[:end]}", rest[end:]
        origin = self._origins.get(key)
        if origin is None:
            if len(self._origins) >= _MAX_DESTINATIONS:
                self._origins.clear()
            origin = self._origins[key] = parse_origin(key, uses_proxies=self._uses_proxies)
        target = target if target.startswith("/") else f"/{target}"
        proxy_headers: tuple[tuple[str, str], ...] = ()
        if origin.is_forwarded:
            target, proxy_headers = f"http://{origin.authority}{target}", authorization_for(origin.proxy)
        start = f"{target} HTTP/1.1\r\nhost: {origin.authority}"
        destination = _Destination(origin, start, "\r\n".join(["", *map(": ".join, proxy_headers), "", ""]))
        if len(self._destinations) >= _MAX_DESTINATIONS:
            self._destinations.clear()
        if len(url) <= _MAX_KEPT_URL_LENGTH:
            self._destinations[url] = destination
        return destination


def _head(request: HttpRequest, destination: _Destination) -> bytes:
    """Write the head of a request. Raises ValueError: the URL or a header holds a line break."""
    lines = [f"{request.method} {destination.start}", *map(": ".join, request.headers)]
    if request.body or request.method in _WITH_LENGTH:
        lines.append(f"content-length: {len(request.body)}")
    text, count = "\r\n".join(lines), len(lines)  # the first has a line break
    if text.count("\n") != count or text.count("\r") != count:
        raise ValueError("a line break in the head of a request")
    return (text + destination.end).encode("latin-1")


class _Pool:
    """Idle connections by origin. The one used last is used next; those that idle too long are closed."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """Take an open connection out of the pool, if there is one."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_open:
                return connection
        return None

    def put(self, origin: Origin, connection: Connection) -> None:
        """Put a connection back."""
        idle = self._idle[origin]
        if self._is_closed or len(idle) >= _MAX_IDLE:
            connection.close()
            return
        idle.append(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._sweep)

    def close(self) -> None:
        """Close every idle connection, and all that are put back later."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_SECONDS
        for idle in self._idle.values():
            for connection in idle:
                if connection.is_open and connection.idle_since <= oldest:
                    connection.close()
            idle[:] = [connection for connection in idle if connection.is_open]
        for origin in [origin for origin, idle in self._idle.items() if not idle]:
            del self._idle[origin]
        is_any = bool(self._idle)
        self._sweeping = loop.call_later(_IDLE_SECONDS / 2, self._sweep) if is_any else None
