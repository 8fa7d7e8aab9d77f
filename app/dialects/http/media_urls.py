"""Fetches media that a document names by URL, and puts it into the document.

Only parts of messages and of tools' results are searched: URLs in a tool's arguments or data are not fetched.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Coroutine, Iterable, Iterator
from urllib.parse import unquote, urlsplit

from app.errors import InvalidRequest
from app.execution.media import Fetcher, Media
from app.execution.request_context import RequestContext
from app.wire.documents import listed
from app.wire.json import JsonObject

_MAX = 20
_AT_ONCE = 4

Reference = tuple[str, str, Callable[[Media], None]]


async def fetch_media(fetcher: Fetcher | None, document: JsonObject, context: RequestContext) -> None:
    """Fetch the media that a document names by URL, and put it into the document. A None fetcher does nothing.

    Raises:
        InvalidRequest, GatewayBusy: as `Fetcher.fetch` does, or there are too many URLs.
    """
    if fetcher is None:
        return
    references = [*_references(document)]
    if len(references) > _MAX:
        raise InvalidRequest(f"no more than {_MAX} URLs are fetched", param=references[_MAX][0])
    at_once, room = asyncio.Semaphore(_AT_ONCE), fetcher.room(context)

    async def put(reference: Reference) -> None:
        path, url, take = reference
        async with at_once:
            take(await fetcher.fetch(url, path, room))

    if references and (failure := await _failure_of(put(reference) for reference in references)):
        raise failure


async def _failure_of(work: Iterable[Coroutine[object, object, None]]) -> Exception | None:
    """Run coroutines in parallel, and cancel the rest at the first error. Returns that error, if any."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as failed:
        return failed.exceptions[0]
    return None


def _references(document: JsonObject) -> Iterator[Reference]:
    for root in ("messages", "input"):
        for index, message in enumerate(listed(document.get(root))):
            for name in ("content", "output"):
                if isinstance(message, dict):
                    yield from _in_parts(message.get(name), f"{root}[{index}].{name}")


def _in_parts(parts: object, path: str) -> Iterator[Reference]:
    for index, part in enumerate(listed(parts)):
        if isinstance(part, dict):
            yield from _in_part(part, f"{path}[{index}]")


def _in_part(part: JsonObject, path: str) -> Iterator[Reference]:
    match part:
        case {"type": "image_url", "image_url": {"url": url} as holder} if _is_url(url):
            yield f"{path}.image_url.url", url, lambda media: holder.update(url=_data_url(media))
        case {"type": "input_image", "image_url": url} if _is_url(url):
            yield f"{path}.image_url", url, lambda media: part.update(image_url=_data_url(media))
        case {"type": "input_file", "file_url": url} if _is_url(url):
            yield f"{path}.file_url", url, lambda media: _put_file(part, url, media)
        case {"type": "image" | "document", "source": {"type": "url", "url": url}} if _is_url(url):
            yield f"{path}.source.url", url, lambda media: part.update(source=_source(media, path))
        case {"type": "tool_result", "content": content}:
            yield from _in_parts(content, f"{path}.content")


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))


def _data_url(media: Media) -> str:
    return f"data:{media.media_type};base64,{media.data}"


def _put_file(part: JsonObject, url: str, media: Media) -> None:
    del part["file_url"]
    part["file_data"] = _data_url(media)
    part.setdefault("filename", unquote(urlsplit(url).path).rpartition("/")[2] or "document")


def _source(media: Media, path: str) -> dict[str, str]:
    """Return a source in Anthropic's format, which has its own for text."""
    if media.media_type == "text/plain":
        try:
            text = b64decode(media.data).decode()
        except UnicodeDecodeError:
            raise InvalidRequest("a text document must be UTF-8", param=path) from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "base64", "media_type": media.media_type, "data": media.data}
