"""Finds the media of a request, whose base64 is not text: in the content of messages, in the formats of all dialects.

Only where Bedrock takes media does its base64 not count. Anywhere else, as in the schema of a tool, it is text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from app.governance.holds.bounds import CallSize

# of Converse's documents, those that are text in base64
_TEXTS = ("csv", "html", "md", "txt")
_MAX_DEPTH = 4
# details with which OpenAI's models reduce an image; otherwise it has up to 10,000 patches, which are more tokens
# (OpenAI guide on images, model sizing behaviour, 2026-11)
_REDUCED = ("low", "high")
_UNREDUCED_IMAGES = 4


def may_have_media(body: bytes) -> bool:
    """Return whether a request may have media. It has none if this is False.

    A text may have these words too, and the request is then only read for nothing.
    """
    find = body.find  # several times as fast as `in`, which first takes its operand for a number
    return (
        find(b'"image') >= 0
        or find(b'mage"') >= 0
        or find(b'"document"') >= 0
        or find(b'"video') >= 0
        or find(b'"audio') >= 0
        or find(b'"input_') >= 0
        or find(b'"file') >= 0
    )


class _Media(Struct):
    """images, documents: see `CallSize`. encoded: the bytes of their base64."""

    images: int = 0
    documents: int = 0
    encoded: int = 0

    def image(self, data: object, count: int = 1) -> None:
        self.images += count
        self.encoded += len(data) if isinstance(data, str) else 0

    def document(self, data: object) -> None:
        self.documents += 1
        self.encoded += len(data) if isinstance(data, str) else 0


def size_of(body: bytes, document: Any) -> CallSize:
    """Return the size of a request that may have media.

    Args:
        body: its JSON. document: the same, parsed.
    """
    media, turns = _Media(), 0
    if isinstance(document, dict):
        # a body with a prompt has its images beside it
        images = document.get("images")
        media.images += len(images) if isinstance(images, list) else 0
        turns_of = document.get("messages") or document.get("input")
        for turn in turns_of if isinstance(turns_of, list) else ():
            turns += 1
            for name in ("content", "output"):
                for block in _blocks(turn, name):
                    _count(block, media, _MAX_DEPTH)
        if not turns:
            # a body of an embedding model: its images have few tokens, but may have fewer bytes
            media.images += sum(body.count(mark) for mark in (b'"image', b'mage"'))
            media.documents += any(mark in body for mark in (b'"video', b'"audio'))
    return CallSize(len(body) - media.encoded, turns, has_tools=True, images=media.images, documents=media.documents)


def _blocks(container: object, name: str) -> Iterator[dict[str, Any]]:
    found = container.get(name) if isinstance(container, dict) else None
    if isinstance(found, list):
        yield from (block for block in found if isinstance(block, dict))


def _member(container: object, *path: str) -> Any:
    for name in path:
        container = container.get(name) if isinstance(container, dict) else None
    return container


def _count(block: dict[str, Any], media: _Media, levels: int) -> None:
    """Count the media of one block of content, and of the blocks within it."""
    # Converse passes over a type, and the other formats have other members
    _count_typed(block, media)
    _count_converse(block, media)
    if levels:
        inner = [*_blocks(block, "content"), *_blocks(block.get("toolResult"), "content")]
        inner += _blocks(block.get("source"), "content")
        for each in inner:
            _count(each, media, levels - 1)


def _count_converse(block: dict[str, Any], media: _Media) -> None:
    for image in (block.get("image"), _member(block, "guardContent", "image")):
        if image is not None:
            media.image(_member(image, "source", "bytes"))
    if "document" in block:
        source = _member(block, "document", "source")
        has_text = _member(source, "text") is not None or _member(source, "content") is not None
        data = _member(source, "bytes")
        is_text = _member(block, "document", "format") in _TEXTS or (has_text and data is None)
        if not is_text or _member(source, "s3Location") is not None:
            media.document(data)
    for name in ("video", "audio"):
        if name in block:
            media.document(_member(block, name, "source", "bytes"))


def _count_typed(block: dict[str, Any], media: _Media) -> None:
    """Count a block of Anthropic's or OpenAI's formats."""
    match block:
        case {"type": "image"}:
            media.image(_member(block, "source", "data"))
        case {"type": "document", "source": {"type": "text" | "content"}}:
            pass
        case {"type": "document"}:
            media.document(_member(block, "source", "data"))
        case {"type": "image_url"}:
            image = block.get("image_url")
            media.image(_data_url(_member(image, "url")), _images_of(_member(image, "detail")))
        case {"type": "input_image" | "computer_screenshot"}:
            media.image(_data_url(block.get("image_url")), _images_of(block.get("detail")))
        case {"type": "input_audio" | "input_file" | "file" | "container_upload" | "video_url" | "audio_url"}:
            inner = _member(block, str(block["type"]))
            datas = (_member(inner, "data"), _member(inner, "file_data"), block.get("file_data"))
            media.document(next((each for each in datas if isinstance(each, str)), None))


def _images_of(detail: object) -> int:
    """Return for how many images one of OpenAI's formats counts."""
    return 1 if detail in _REDUCED else _UNREDUCED_IMAGES


def _data_url(url: object) -> object:
    return url if isinstance(url, str) and url[:5].lower() == "data:" else None
