"""Fetches images and documents that callers name by URL, and never anything that is not public.

A name is resolved here, and the connection goes to those very addresses: there is no second look-up that could say
something else. One address that is not public refuses the name. No proxy is asked, since it would resolve for itself.
"""

import asyncio
import contextlib
import socket
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from msgspec import Struct, field

from app.bedrock.http1.connector import Addresses
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.transport import HttpRequest, HttpResponse, Transport
from app.converse.media import DOCUMENT_FORMATS, IMAGE_FORMATS
from app.errors import GatewayBusy, GatewayError, InvalidRequest, UpstreamTimeout
from app.execution.public_addresses import is_public
from app.execution.request_context import RequestContext
from app.process.memory import buffer_for, contents_of

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
_MAX_URL = 2048
_NAMES_AT_ONCE = 32
_NAMES_OF_ONE_CALLER = 4
_KNOWN = {**IMAGE_FORMATS, **DOCUMENT_FORMATS}
# what carries an IPv4 address within: NAT64 (RFC 6052), 6to4 (RFC 3056)
_HEADERS = [("accept", ", ".join(_KNOWN)), ("user-agent", "outcrop"), ("connection", "close")]
# for whom a name is looked up: the transport between asks only for the name
_asker: ContextVar[str] = ContextVar("asker", default="")


class NotPublic(OSError):
    """A name that leads, or could lead, somewhere inside."""


class Media(Struct, frozen=True):
    """What was fetched. data: base64."""

    media_type: str
    data: str


class Room(Struct):
    """The bytes that one request may still fetch. Those that it has fetched are held with its body."""

    left: int
    context: RequestContext

    def take(self, count: int, path: str) -> None:
        """Fetch so many.

        Raises:
            InvalidRequest: they are too many. GatewayBusy: as `RequestContext.grow` does.
        """
        self.left -= count
        if self.left < 0:
            raise InvalidRequest("the URLs lead to more bytes than this deployment fetches", param=path)
        self.context.grow(count)


class Fetcher(Protocol):
    """Fetches media."""

    def room(self, context: RequestContext) -> Room:
        """Room for what one request fetches."""
        ...

    async def fetch(self, url: str, path: str, room: Room) -> Media:
        """What a URL leads to; `path` is the field that holds it."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class PublicNames:
    """Resolves names that lead to the public Internet alone.

    Callers choose them, and a name server may take half a minute for each. So they have threads of their own, some,
    which the end of the process does not wait for: the event loop's are for Bedrock's name. And since a thread that
    asks cannot be ended, however short its caller waits, no caller has more than a few of them.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_NAMES_AT_ONCE)
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(
            partial(asyncio.Semaphore, _NAMES_OF_ONE_CALLER)
        )
        self._asking: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """The addresses of a name.

        Raises:
            NotPublic: one of them is not public. OSError: it has none.
        """
        found = _as_written(host, port) or await self._ask(host, port)
        if not all(is_public(address[4][0]) for address in found):
            raise NotPublic(socket.EAI_NONAME, "not a public address")
        return found

    async def _ask(self, host: str, port: int) -> Addresses:
        answer = self._asking.get((host, port)) or await self._begin(host, port)
        await asyncio.wait({answer})
        return answer.result()

    async def _begin(self, host: str, port: int) -> "asyncio.Future[Addresses]":
        """Start a lookup once a thread is free, or join one that another request has started by then."""
        with contextlib.ExitStack() as permits:
            for permit in (self._shares[_asker.get()], self._free):
                await permit.acquire()
                permits.callback(permit.release)
            return self._asking.get((host, port)) or self._look_up(host, port, permits.pop_all().close)

    def _look_up(self, host: str, port: int, leave: Callable[[], None]) -> "asyncio.Future[Addresses]":
        """Look a name up in a thread. `leave` releases its permits at the end, even if nobody waits any more."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Addresses] = loop.create_future()
        self._asking[host, port] = answer

        def ask() -> None:
            found: Any = None
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except Exception as error:  # noqa: BLE001 -- whoever waits must be told
                found = OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, found)

        def tell(found: Any) -> None:
            leave()
            del self._asking[host, port]
            if isinstance(found, OSError):
                answer.set_exception(found)
                answer.exception()  # that nobody waited for it is no news
            else:
                answer.set_result(found)

        try:
            threading.Thread(target=ask, name="a caller's name", daemon=True).start()
        except RuntimeError:
            tell(OSError("no thread can be started"))
        return answer


def public_transport(seconds: float, ca_bundle: Path | None = None) -> Http1Transport:
    """Connects to public addresses alone, waits so many seconds for each step, and keeps no connection.

    Callers choose the servers: connections to as many as they like would take all files that the process may open.
    """
    return Http1Transport(seconds, seconds, ca_bundle, PublicNames().resolve, uses_proxies=False, keeps_idle=False)


def _as_written(host: str, port: int) -> Addresses:
    """The addresses of a host that is one; none of a name, for which somebody has to be asked."""
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, UnicodeError):
        return []


class MediaFetcher(Struct, frozen=True):
    """Fetches within limits.

    transport: connects to public addresses only. max_bytes: for one request. seconds: for all of one fetch.
    """

    transport: Transport
    max_bytes: int
    seconds: float
    ports: frozenset[int] = field(default_factory=lambda: frozenset(_PORTS.values()))

    def room(self, context: RequestContext) -> Room:
        """Room for what one request fetches."""
        return Room(self.max_bytes, context)

    async def fetch(self, url: str, path: str, room: Room) -> Media:
        """What a URL leads to.

        Raises:
            InvalidRequest: nothing that may be fetched, or that Converse takes. What was found inside is not told.
            GatewayBusy: as `RequestContext.grow` does.
        """
        _asker.set(room.context.caller.name)
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
        """Close every connection."""
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
        """Only what a browser would call a plain web address."""
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
            raise InvalidRequest("is no URL that is fetched: http or https, the usual port, no password", param=path)

    async def _read(self, response: HttpResponse, path: str, room: Room) -> Media:
        headers = dict(response.headers)
        if response.status != 200:
            raise InvalidRequest(f"the URL answered with status {response.status}", param=path)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _KNOWN or headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("the URL leads to no image or document that can be sent", param=path)
        said = headers.get("content-length", "")
        length = int(said) if said.isdigit() else 0
        if length > room.left:
            room.take(length, path)
        read = buffer_for(length)

        def take(piece: bytes) -> bool:
            room.take(len(piece), path)
            read.write(piece)
            return True

        await response.deliver(take)
        found = contents_of(read)
        data = b64encode(found).decode()
        room.context.grow(len(data) - len(found))
        return Media(media_type, data)
