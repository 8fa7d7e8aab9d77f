"""Translates blocks that carry media; base64 is never decoded.

Source: docs/reference/contracts/mapping.md#messages-and-content
"""

from typing import Any

from app.converse.content import DocumentBlock as ConverseDocument
from app.converse.content import ImageBlock as ConverseImage
from app.converse.content import SearchResultBlock as ConverseSearchResult
from app.converse.media import DOCUMENT_FORMATS, IMAGE_FORMATS, image_format
from app.dialects.anthropic.schema_in import (
    Base64Source,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    SearchResultBlock,
    TextSource,
)
from app.errors import InvalidRequest

_NOT_FETCHED = "must be base64: other addresses are not fetched here, nor are files of Anthropic's"


def image_of(block: ImageBlock, path: str) -> ConverseImage:
    """Return an image block.

    Raises:
        InvalidRequest: the source is not base64, or of a type that Converse does not accept.
    """
    source = block.source
    if not isinstance(source, Base64Source):
        raise InvalidRequest(f"an image's source {_NOT_FETCHED}", param=f"{path}.source")
    found = image_format(source.media_type.lower(), source.data)
    if found is None:
        raise InvalidRequest(f"an image must be one of {', '.join(IMAGE_FORMATS)}", param=f"{path}.source.media_type")
    return {"format": found, "source": {"bytes": source.data}}  # type: ignore[typeddict-item]


def document_of(block: DocumentBlock, path: str) -> ConverseDocument:
    """Return a document block.

    Raises:
        InvalidRequest: the source is a URL or a file, or of a type that Converse does not accept.
    """
    document: Any = {"name": block.title or "document"}
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            document_format = DOCUMENT_FORMATS.get(media_type.lower())
            if document_format is None:
                known = ", ".join(DOCUMENT_FORMATS)
                raise InvalidRequest(f"a document must be one of {known}", param=f"{path}.source.media_type")
            document |= {"format": document_format, "source": {"bytes": data}}
        case TextSource(data=text):
            document |= {"format": "txt", "source": {"text": text}}
        case ContentSource(content=content):
            pieces = [content] if isinstance(content, str) else [part.text for part in content]
            document |= {"format": "txt", "source": {"content": [{"text": piece} for piece in pieces]}}
        case _:
            raise InvalidRequest(f"a document's source {_NOT_FETCHED}", param=f"{path}.source")
    if block.context:
        document["context"] = block.context
    if block.citations is not None and block.citations.enabled:
        document["citations"] = {"enabled": True}
    return document  # type: ignore[no-any-return]


def search_result_of(block: SearchResultBlock) -> ConverseSearchResult:
    """Return a search result block."""
    result: ConverseSearchResult = {
        "source": block.source,
        "title": block.title,
        "content": [{"text": part.text} for part in block.content],
    }
    if block.citations is not None:
        result["citations"] = {"enabled": bool(block.citations.enabled)}
    return result
