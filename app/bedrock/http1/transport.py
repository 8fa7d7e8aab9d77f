"""The transport: a request goes out on a connection that idles, or on a new one."""

import ssl
from functools import partial
from pathlib import Path

from app.bedrock.http1.connection import Connection
from app.bedrock.http1.dial import Dialer, Origin, Resolve, authorization_for, parse_origin, proxies
from app.bedrock.http1.pool import Pool
from app.bedrock.http1.response import Http1Response, StaleConnection
from app.bedrock.transport import HttpRequest

_MAX_KEPT = 1024
# callers choose parts of a URL, and those of them that are long are not kept
_LONGEST_KEPT = 512
_WITH_LENGTH = ("POST", "PUT", "PATCH")


class Http1Transport:
    """Sends requests. See `Transport`.

    Args:
        connect_timeout: seconds to connect, TLS included.
        read_timeout: seconds without a byte, before the first and between bytes.
        ca_bundle: trusted certificates (PEM) instead of the system's.
        resolve: see `Dialer`. uses_proxies: whether those that the environment names are asked. keeps_idle: whether a
            connection is kept for the next request to its origin.

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
        self._dialer = Dialer(ssl.create_default_context(cafile=ca_bundle), resolve)
        self._pool = Pool()
        self._origins: dict[str, Origin] = {}
        self._located: dict[str, tuple[Origin, str]] = {}

    async def open(self, request: HttpRequest) -> Http1Response:
        """Send, and wait for the head of the answer. See `Transport.open`.

        Raises:
            ValueError: HEAD, whose answers have no body that their head speaks of; or a URL or header that is none.
        """
        if request.method == "HEAD":
            raise ValueError("HEAD is not spoken here")
        origin, target = self._locate(request.url)
        head = _head(request, origin, target)
        idle = self._pool.take(origin)
        if idle is not None:
            try:
                return await self._ask(idle, head, request)
            except StaleConnection:
                pass  # it had ended before the request came; a new one is no second attempt
        seconds = request.waits.connect or self._connect_timeout
        free = partial(self._pool.put, origin) if self._keeps_idle else Connection.abort
        connection = await self._dialer.connect(origin, partial(Connection, free), seconds)
        return await self._ask(connection, head, request)

    async def _ask(self, connection: Connection, head: bytes, request: HttpRequest) -> Http1Response:
        _, first_byte, idle = request.waits
        response = connection.send(head, request.body, first_byte or self._read_timeout, idle or self._read_timeout)
        await response.head()
        return response

    async def probe(self, url: str) -> str:
        """Connect to `url`'s host, or to the proxy before it, and hang up. See `Transport.probe`."""
        return await self._dialer.probe(self._locate(url)[0], self._connect_timeout)

    async def close(self) -> None:
        """Close every connection that idles; those in use close as their answers do."""
        self._pool.close()

    def _locate(self, url: str) -> tuple[Origin, str]:
        """The origin of a URL, and what of the URL a server is asked for; most URLs are asked for again and again."""
        located = self._located.get(url)
        if located is None:
            located = self._take_apart(url)
            if len(self._located) >= _MAX_KEPT:
                self._located.clear()
            if len(url) <= _LONGEST_KEPT:
                self._located[url] = located
        return located

    def _take_apart(self, url: str) -> tuple[Origin, str]:
        scheme, _, rest = url.partition("#")[0].partition("://")
        slash, query = rest.find("/"), rest.find("?")
        end = min((index for index in (slash, query) if index >= 0), default=len(rest))
        key, target = f"{scheme}://{rest[:end]}", rest[end:]
        origin = self._origins.get(key)
        if origin is None:
            if len(self._origins) >= _MAX_KEPT:
                self._origins.clear()
            origin = self._origins[key] = parse_origin(key, uses_proxies=self._uses_proxies)
        target = target if target.startswith("/") else f"/{target}"
        return origin, f"http://{origin.authority}{target}" if origin.is_forwarded else target


def _head(request: HttpRequest, origin: Origin, target: str) -> bytes:
    """The head of a request, as bytes.

    Raises:
        ValueError: a header would break out of its line.
    """
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in request.headers]
    if request.body or request.method in _WITH_LENGTH:
        lines.append(f"content-length: {len(request.body)}\r\n")
    if origin.is_forwarded:
        lines += [f"{name}: {value}\r\n" for name, value in authorization_for(origin.proxy)]
    lines.append("\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
        raise ValueError("a line break in the head of a request")
    return text.encode("latin-1")
