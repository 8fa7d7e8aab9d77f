"""Media types and the format names that Converse has for them."""

from base64 import b64decode

IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}

VIDEO_FORMATS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}

DOCUMENT_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}

DOCUMENT_EXTENSIONS = frozenset(DOCUMENT_FORMATS.values())

# the first bytes of images, by format
_BEGINNINGS = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "webp": b"RIFF"}


def image_format(media_type: str, data: str) -> str | None:
    """Return the format of an image by its first bytes, or else by its media type; None if neither is known.

    Bedrock refuses a wrong media type ("The image was specified using the image/jpeg media type, but the image appears
    to be a image/png image", SciLink#382), and some clients send screenshots with one.

    Args:
        media_type: in lower case. data: in base64.
    """
    try:
        head = b64decode(data[:16])
    except ValueError:
        head = b""
    begun = (name for name, beginning in _BEGINNINGS.items() if head.startswith(beginning))
    found = next(begun, None)
    if found == "webp" and head[8:12] != b"WEBP":
        found = None
    return found or IMAGE_FORMATS.get(media_type)
