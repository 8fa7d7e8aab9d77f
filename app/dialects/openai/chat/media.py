"""Translates parts that carry media.

Source: docs/reference/contracts/mapping.md#messages-and-content
"""

from app.converse.content import AudioBlock, DocumentBlock, ImageBlock, VideoBlock
from app.dialects.openai.chat.schema_in import AudioPart, FilePart, ImagePart, VideoPart
from app.dialects.openai.common import media as openai_media


def image_of(part: ImagePart, path: str) -> ImageBlock:
    """Return an image block. Raises InvalidRequest as `openai_media.image_of` does."""
    return openai_media.image_of(part.image_url.url, f"{path}.image_url.url")


def video_of(part: VideoPart, path: str) -> VideoBlock:
    """Return a video block. Raises InvalidRequest as `openai_media.video_of` does."""
    return openai_media.video_of(part.video_url.url, f"{path}.video_url.url")


def document_of(part: FilePart, path: str) -> DocumentBlock:
    """Return a document block. Raises InvalidRequest as `openai_media.document_of` does."""
    file = part.file
    return openai_media.document_of(file.file_data, file.filename, file.file_id, f"{path}.file.file_data")


def audio_of(part: AudioPart) -> AudioBlock:
    """Return an audio block."""
    return {"format": part.input_audio.format, "source": {"bytes": part.input_audio.data}}
