"""Translates media of OpenAI's clients to Converse's blocks; base64 is never decoded.

Source: docs/reference/contracts/mapping.md#messages-and-content
"""

from app.converse.content import DocumentBlock, ImageBlock, VideoBlock
from app.converse.media import DOCUMENT_EXTENSIONS, DOCUMENT_FORMATS, IMAGE_FORMATS, VIDEO_FORMATS, image_format
from app.errors import InvalidRequest

_LONGEST_LINE = 80


def image_of(url: str, path: str) -> ImageBlock:
    """Return an image block. `path` is the field that holds the URL.

    Raises:
        InvalidRequest: the URL is not a data: URL of base64, or of a type that Converse does not accept.
    """
    media_type, data = _split_data_url(url, path)
    found = image_format(media_type, data)
    if found is None:
        raise InvalidRequest(f"an image must be one of {', '.join(IMAGE_FORMATS)}", param=path)
    return {"format": found, "source": {"bytes": data}}  # type: ignore[typeddict-item]


def video_of(url: str, path: str) -> VideoBlock:
    """Return a video block. `path` is the field that holds the URL.

    Raises:
        InvalidRequest: the URL is not a data: URL of base64, or of a type that Converse does not accept.
    """
    media_type, data = _split_data_url(url, path)
    if media_type not in VIDEO_FORMATS:
        raise InvalidRequest(f"a video must be one of {', '.join(VIDEO_FORMATS)}", param=path)
    return {"format": VIDEO_FORMATS[media_type], "source": {"bytes": data}}


def document_of(file_data: str | None, filename: str | None, file_id: str | None, path: str) -> DocumentBlock:
    """Return a document block, named by the file name without its extension. `path` is the field that holds the data.

    Raises:
        InvalidRequest: there is no data, or its format is unknown or not one that Converse accepts.
    """
    if file_data is None:
        reason = "file_id is not supported: send file_data" if file_id else "file_data is missing"
        raise InvalidRequest(reason, param=path)
    stem, _, extension = (filename or "").rpartition(".")
    document_format = extension.lower() if extension.lower() in DOCUMENT_EXTENSIONS else None
    data = file_data
    if data[:5].lower() == "data:":
        media_type, data = _split_data_url(data, path)
        document_format = DOCUMENT_FORMATS.get(media_type, document_format)
    if document_format is None:
        raise InvalidRequest(
            f"a file must be one of {', '.join(sorted(DOCUMENT_EXTENSIONS))}, told by its data: URL or filename",
            param=path,
        )
    return {"format": document_format, "name": stem or filename or "document", "source": {"bytes": _in_one_line(data)}}


def _split_data_url(url: str, path: str) -> tuple[str, str]:
    head, comma, data = url.partition(",")
    head = head.lower()
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        raise InvalidRequest("must be a data: URL with base64 content; other URLs are not fetched here", param=path)
    media_type = head.removeprefix("data:").partition(";")[0]
    return media_type, _in_one_line(data)


def _in_one_line(data: str) -> str:
    """Remove line breaks, which `base64` and MIME insert after at most 76 letters."""
    return "".join(data.split()) if "\n" in data[:_LONGEST_LINE] else data
