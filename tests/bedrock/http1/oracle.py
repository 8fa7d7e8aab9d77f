"""`Transport` on aiohttp: an independent implementation to compare with."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from app.bedrock.http1 import connector
from app.bedrock.transport import MAX_BYTES, Headers, HttpRequest
from app.errors import (
    ConnectionLost,
    ConnectTimeout,
    GatewayError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)

_POOL_IDLE_SECONDS = 30.0
_PIECE_BYTES = 256 * 1024
_SKIPPED = ("accept", "accept-encoding", "content-type", "user-agent")


class AiohttpTransport:
    """Sends requests with aiohttp.

    Args:
        connect_timeout: seconds to connect, TLS included.
        read_timeout: seconds without a byte, before the first and between bytes.
        ca_bundle: trusted certificates (PEM) instead of the system's.
    """

    def __init__(self, connect_timeout: float, read_timeout: float, ca_bundle: Path | None = None) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._trust = ssl.create_default_context(cafile=ca_bundle)
        self._proxies = getproxies()
        self._opened: aiohttp.ClientSession | None = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The session, made at first use because it needs a running event loop."""
        if self._opened is None:
            self._opened = self._make_session()
        return self._opened

    def _make_session(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=self._trust, keepalive_timeout=_POOL_IDLE_SECONDS, socket_factory=connector._make_socket
            ),
            timeout=aiohttp.ClientTimeout(connect=self._connect_timeout, sock_read=self._read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_SKIPPED,
        )
        # aiohttp would send a GET again over a stale connection by itself
        session._retry_connection = False
        return session

    async def open(self, request: HttpRequest) -> "AiohttpResponse":
        """See `Transport.open`."""
        headers = [*request.headers]
        data: AsyncIterator[bytes] | bytes | None = request.body or None
        if len(request.body) > _PIECE_BYTES:
            headers.append(("content-length", str(len(request.body))))
            data = _pieces(request.body)
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
                proxy=self._proxy_for(request.url),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _translate(error) from None
        return AiohttpResponse(response)

    async def probe(self, url: str) -> str:
        """Connect to `url`'s host, or to the proxy before it, and hang up. See `Transport.probe`."""
        parts = urlsplit(self._proxy_for(url) or url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 443)
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except (OSError, TimeoutError) as error:
            return f"cannot connect ({type(error).__name__})"
        writer.close()
        return ""

    async def close(self) -> None:
        """Close every connection."""
        if self._opened is not None:
            await self._opened.close()

    def _proxy_for(self, url: str) -> str | None:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        return None if proxy_bypass(parts.netloc) else self._proxies.get(parts.scheme)


class AiohttpResponse:
    """A response whose head has arrived. See `HttpResponse`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers
        )

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        """Read the whole body, of at most `limit` bytes."""
        body = bytearray()

        def take(data: bytes) -> bool:
            body.extend(data)
            return len(body) <= limit

        if not await self.deliver(take):
            self.close()
            raise UpstreamFailed("Bedrock's response is too large")
        return bytes(body)

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        """Call `take` with the body as it arrives."""
        try:
            while data := await self._response.content.readany():
                if not take(data):
                    return False
        except (aiohttp.ClientError, OSError) as error:
            raise _translate(error) from None
        return True

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if not self._response.content.at_eof():
            self._response.close()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _translate(error: Exception) -> GatewayError:
    """Map aiohttp's exceptions. Their texts may quote received bytes, so only their types are kept."""
    detail = type(error).__name__
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectTimeout("connecting to Bedrock took too long", detail=detail)
        case TimeoutError():
            return UpstreamTimeout("Bedrock sent nothing for too long", detail=detail)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return UpstreamUnreachable("the TLS connection to Bedrock failed", retry_here=False, detail=detail)
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("Bedrock could not be reached", detail=f"{detail}: {error.os_error}")
        case _:
            return ConnectionLost("the connection to Bedrock broke", detail=detail)
