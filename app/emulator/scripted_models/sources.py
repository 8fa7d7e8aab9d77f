"""Scenarios about what a request brings: cited documents, and media of all kinds."""

from collections.abc import Iterator
from typing import cast

from app.converse.content import Citation, ContentBlock
from app.converse.request import ConverseRequest
from app.emulator.scripted_models.script import Script


def cite(request: ConverseRequest) -> Script:
    """Cite the first document of the request, and a web page."""
    names = (
        block["document"]["name"]
        for message in request["messages"]
        for block in message["content"]
        if "document" in block
    )
    document: Citation = {
        "title": next(names, "a document"),
        "sourceContent": [{"text": "the cited words"}],
        "location": {"documentChunk": {"documentIndex": 0, "start": 0, "end": 1}},
    }
    page: Citation = {
        "title": "A page",
        "location": {"web": {"url": "https://example.com/page", "domain": "example.com"}},
    }
    return Script(
        [
            {"text": "According to the sources, "},
            {"citationsContent": {"content": [{"text": "this is so."}], "citations": [document]}},
            {"text": " And "},
            {"citationsContent": {"content": [{"text": "so is that."}], "citations": [page]}},
        ]
    )


def describe_media(request: ConverseRequest) -> Script:
    """Name each image, document, audio and video of the request, with its format and size."""
    seen = [text for message in request["messages"] for text in _descriptions(message["content"])]
    return Script([{"text": f"I see {', '.join(seen) or 'nothing but text'}."}])


def _descriptions(blocks: list[ContentBlock]) -> Iterator[str]:
    for block in blocks:
        if image := block.get("image"):
            yield _description(f"image {image['format']}", image["source"].get("bytes", ""))
        if document := block.get("document"):
            kind = f"document {document.get('format', '')} {document['name']!r}"
            yield _description(kind, document["source"].get("bytes", ""))
        if audio := block.get("audio"):
            yield _description(f"audio {audio['format']}", audio["source"].get("bytes", ""))
        if video := block.get("video"):
            yield _description(f"video {video['format']}", video["source"].get("bytes", ""))
        if result := block.get("toolResult"):
            # the kinds of media in a tool result are some of those in a message
            yield from _descriptions(cast("list[ContentBlock]", result["content"]))


def _description(kind: str, base64: str) -> str:
    return f"{kind} of about {len(base64) * 3 // 4} bytes"
