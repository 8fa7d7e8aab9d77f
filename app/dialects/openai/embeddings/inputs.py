"""The inputs of a request for embeddings: texts, media in base64, and both together.

Media come as a data: URL in a string, as LiteLLM sends them, or in an object with `content` parts, as Cohere's API has
them, or with `text` and `image`, as Jina's has them.
"""

import re
from typing import Any, get_args

from app.adaptation.embeddings import EmbeddedMedia, Input, MediaKind, MixedInput
from app.converse.media import image_format
from app.dialects.openai.embeddings.schema import EmbeddingRequest, MixedItem
from app.errors import InvalidRequest

_MAX_INPUTS = 2048  # OpenAI's own limit
_KINDS: tuple[MediaKind, ...] = get_args(MediaKind)
_DATA_URL = re.compile(r"data:([a-z]+)/([a-z0-9.+-]+)[^,]*;base64,", re.IGNORECASE)
# base64 without a data: URL around it; lines of it may be short
_BARE_BASE64 = re.compile(r"[A-Za-z0-9+/]{64}")
# the first bytes of files that no model embeds, in base64
_REFUSED = {"JVBERi0": "a PDF", "SUkqA": "a TIFF", "TU0AK": "a TIFF"}
_BMP = re.compile(r"Qk[0-3].{5}AAAA")  # four zeros at byte 6
_FORMATS = {"jpg": "jpeg", "mpeg": "mp3", "x-wav": "wav", "quicktime": "mov", "x-matroska": "mkv"}


def inputs_of(request: EmbeddingRequest) -> list[Input]:
    """Return the inputs of a request.

    Raises:
        InvalidRequest: there are none or too many, one is empty, of an unknown form, or they are token ids.
    """
    given: list[Any] = [*request.input] if isinstance(request.input, list) else [request.input]
    if not 1 <= len(given) <= _MAX_INPUTS:
        raise InvalidRequest(f"must hold 1 to {_MAX_INPUTS} texts", param="input")
    return [_input(each, f"input[{index}]" if len(given) > 1 else "input") for index, each in enumerate(given)]


def _input(given: Any, path: str) -> Input:
    match given:
        case MixedItem():
            return _mixed(given, path)
        case "":
            raise InvalidRequest("must not be empty", param=path)
        case str():
            media = _media_in(given, path)
            return given if media is None else MixedInput(path, (media,))
        case _:
            raise InvalidRequest(
                "must be text: token ids are those of another model's tokenizer "
                "(with LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)",
                param="input",
            )


def _mixed(given: MixedItem, path: str) -> Input:
    written = [(given.text, f"{path}.text")]
    media = [(given.image, f"{path}.image")] if given.image else []
    for index, part in enumerate(given.content or ()):
        written.append((part.text, f"{path}.content[{index}].text"))
        url = part.image_url if isinstance(part.image_url, str) else (part.image_url or {}).get("url")
        if url is not None:
            media.append((url, f"{path}.content[{index}].image_url"))
    texts = [text for text, where in written if text and _media_in(text, where) is None]
    media += [(text, where) for text, where in written if text and _media_in(text, where) is not None]
    text = "\n".join(texts)
    if not media:
        if not text:
            raise InvalidRequest("must hold a text or an image", param=path)
        return text
    found = [(_media_in(url, where), where) for url, where in media]
    for each, where in found:
        if each is None:
            reason = "must be a data: URL with base64 content; other URLs are not fetched here"
            raise InvalidRequest(reason, param=where)
    return MixedInput(path, tuple(each for each, _ in found if each is not None), text)


def _media_in(text: str, path: str) -> EmbeddedMedia | None:
    """Return the media that a text is; None if it is a text. Raises InvalidRequest: they are of an unknown kind."""
    text = text.lstrip()
    match = _DATA_URL.match(text)
    if match is None:
        if text[:5].lower() == "data:" and ";base64," in text[:200]:
            raise InvalidRequest("must be a data: URL of an image, a sound or a film", param=path)
        return _bare_media(text, path)
    kind, subtype = match[1].lower(), match[2].lower()
    data = "".join(text[match.end() :].split())
    known = next((each for each in _KINDS if each == kind), None)
    if known is None or not data:
        raise InvalidRequest("must be a data: URL of an image, a sound or a film", param=path)
    named = (image_format(f"image/{subtype}", data) if known == "image" else None) or _FORMATS.get(subtype, subtype)
    return EmbeddedMedia(known, f"{known}/{named}", named, data)


def _bare_media(text: str, path: str) -> EmbeddedMedia | None:
    """Return the image that a text is in base64 alone; None if it is a text. Raises InvalidRequest as `_media_in`."""
    head = "".join(text[:256].split())
    if not _BARE_BASE64.match(head):
        return None
    refused = "a BMP" if _BMP.match(head) else next((kind for at, kind in _REFUSED.items() if head.startswith(at)), "")
    if refused:
        raise InvalidRequest(f"must be text, or a PNG, JPEG, GIF or WebP: this is {refused}", param=path)
    found = image_format("", head)
    return None if found is None else EmbeddedMedia("image", f"image/{found}", found, "".join(text.split()))
