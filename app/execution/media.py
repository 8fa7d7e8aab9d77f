"""Fetches images and documents that callers refer to by URL, from public addresses only."""

import asyncio
from base64 import b64encode
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

from app.bedrock.transport import HttpRequest, HttpResponse, Transport
from app.converse.media import DOCUMENT_FORMATS, IMAGE_FORMATS
from app.errors import GatewayBusy, GatewayError, InvalidRequest, UpstreamTimeout
from app.execution.public_names import CALLER
from app.execution.request_context import RequestContext
from app.process.memory import buffer_for, contents_of

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_MAX_URL = 2048
_FORMATS = {**IMAGE_FORMATS, **DOCUMENT_FORMATS}
_HEADERS = [("accept", ", ".join(_FORMATS)), ("user-agent", "outcrop"), ("connection", "close")]


class Media(Struct, frozen=True):
    """Fetched media. data: base64."""

    media_type: str
    data: str


class Room(Struct):
    """The bytes that one request may still fetch. Those that it fetched count with its body."""

    left: int
    context: RequestContext

    def take(self, count: int, path: str) -> None:
        """Count fetched bytes.

        Raises:
            InvalidRequest: they exceed the limit. GatewayBusy: as `RequestContext.grow` does.
        """
        self.left -= count
        if self.left < 0:
            raise InvalidRequest("the URLs lead to more bytes than this deployment fetches", param=path)
        self.context.grow(count)


class Fetcher(Protocol):
    """Fetches media."""

    def room(self, context: RequestContext) -> Room:
        """Return the room of one request."""
        ...

    async def fetch(self, url: str, path: str, room: Room) -> Media:
        """Fetch a URL; `path` is the field that holds it."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class MediaFetcher(Struct, frozen=True):
    """Fetches media within limits.

    transport: connects to public addresses only. max_bytes: for one request. seconds: for one fetch.
    """

    transport: Transport
    max_bytes: int
    seconds: float
    ports: frozenset[int] = field(default_factory=lambda: frozenset(_PORTS.values()))

    def room(self, context: RequestContext) -> Room:
        """Return the room of one request."""
        return Room(self.max_bytes, context)

    async def fetch(self, url: str, path: str, room: Room) -> Media:
        """Fetch a URL.

        Raises:
            InvalidRequest: it may not be fetched, or Converse does not accept what it leads to. The message does not
                say what was found in a private network.
            GatewayBusy: as `RequestContext.grow` does.
        """
        CALLER.set(room.context.caller.name)
        try:
            async with asyncio.timeout(self.seconds):
                return await self._follow(url, path, room)
        except (TimeoutError, UpstreamTimeout):
            raise InvalidRequest("the URL took too long to fetch", param=path) from None
        except (InvalidRequest, GatewayBusy):
            raise
        except (GatewayError, ValueError):
            raise InvalidRequest("the URL cannot be fetched", param=path) from None

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()

    async def _follow(self, url: str, path: str, room: Room) -> Media:
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url, path)
            response = await self.transport.open(HttpRequest("GET", url, _HEADERS, b""))
            try:
                if response.status not in _REDIRECTS:
                    return await self._read(response, path, room)
                url = urljoin(url, dict(response.headers).get("location", ""))
            finally:
                response.close()
        raise InvalidRequest("the URL is redirected too often", param=path)

    def _check(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in _PORTS
            or not parts.hostname
            or parts.username is not None
            or (parts.port or _PORTS[parts.scheme]) not in self.ports
            or len(url) > _MAX_URL
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise InvalidRequest("must be an http or https URL with the usual port and without a password", param=path)

    async def _read(self, response: HttpResponse, path: str, room: Room) -> Media:
        headers = dict(response.headers)
        if response.status != 200:
            raise InvalidRequest(f"the URL answered with status {response.status}", param=path)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _FORMATS or headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("the URL leads to no image or document that can be sent", param=path)
        content_length = headers.get("content-length", "")
        length = int(content_length) if content_length.isdigit() else 0
        if length > room.left:
            room.take(length, path)
        buffer = buffer_for(length)

        def take(piece: bytes) -> bool:
            room.take(len(piece), path)
            buffer.write(piece)
            return True

        await response.deliver(take)
        found = contents_of(buffer)
        data = b64encode(found).decode()
        room.context.grow(len(data) - len(found))
        return Media(media_type, data)
