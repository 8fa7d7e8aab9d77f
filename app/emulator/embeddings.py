"""Embedding models over InvokeModel. Shapes: the recordings of Titan v2, Cohere v3 and v4, and Nova.

A vector is made from the hash of its text: the same text gives the same vector, of unit length.
"""

import hashlib
import math
import struct

from app.emulator.catalog import Model
from app.emulator.errors import MALFORMED, invalid
from app.emulator.tokens import count_text
from app.wire.json import JsonObject

_MAX_BATCH = 96


def embed(model: Model, body: object) -> tuple[dict[str, object], int]:
    """The response of an embedding model, and its input tokens.

    Raises:
        ServiceError: the body does not fit the model.
    """
    document = _object(body)
    match model.rules:
        case "titan-1":
            text = _text(document.get("inputText"))
            return {"embedding": vector(text, 1536), "inputTextTokenCount": count_text(text)}, count_text(text)
        case "titan-2":
            return _titan_2(document)
        case "titan-image":
            return _titan_image(document)
        case "nova-2":
            return _nova_2(document)
        case "marengo-2" | "marengo-3":
            return _marengo(document, is_nested=model.rules == "marengo-3")
        case _:
            return _cohere(document, is_v4=model.rules == "cohere-4")


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector for a text."""
    raw = b"".join(hashlib.sha256(f"{block}:{text}".encode()).digest() for block in range(-(-dimensions // 8)))
    values = [number / 2**31 - 1.0 for (number,) in struct.iter_unpack(">I", raw)][:dimensions]
    norm = math.sqrt(sum(value * value for value in values))
    return [value / norm for value in values]


def _titan_2(body: JsonObject) -> tuple[dict[str, object], int]:
    text = _text(body.get("inputText"))
    embedding = vector(text, _dimensions(body.get("dimensions", 1024), (256, 512, 1024)))
    tokens = count_text(text)
    return {"embedding": embedding, "embeddingsByType": {"float": embedding}, "inputTextTokenCount": tokens}, tokens


def _titan_image(body: JsonObject) -> tuple[dict[str, object], int]:
    given = [_text(body[name]) for name in ("inputText", "inputImage") if name in body]
    config = _object(body.get("embeddingConfig", {}))
    embedding = vector("\0".join(given), _dimensions(config.get("outputEmbeddingLength", 1024), (256, 384, 1024)))
    tokens = count_text(body.get("inputText", "")) if given else 0
    if not given:
        raise invalid(MALFORMED)
    return {"embedding": embedding, "inputTextTokenCount": tokens}, tokens


def _marengo(body: JsonObject, *, is_nested: bool) -> tuple[dict[str, object], int]:
    kind = _text(body.get("inputType"))
    given = _object(body.get(kind)) if is_nested else body
    texts = [_text(given["inputText"])] if "inputText" in given else []
    images = [_text(_object(given["mediaSource"]).get("base64String"))] if "mediaSource" in given else []
    if {"text": (1, 0), "image": (0, 1), "text_image": (1, 1)}.get(kind) != (len(texts), len(images)):
        raise invalid(MALFORMED)
    return {"data": [{"embedding": vector("\0".join([*texts, *images]), 512 if is_nested else 1024)}]}, 0


def _nova_2(body: JsonObject) -> tuple[dict[str, object], int]:
    parameters = _object(body.get("singleEmbeddingParams"))
    kind = next((name for name in ("image", "audio", "video") if name in parameters), "text")
    inside = _object(parameters.get(kind))
    text = _text(inside.get("value") if kind == "text" else _object(inside.get("source")).get("bytes"))
    embedding = vector(text, _dimensions(parameters.get("embeddingDimension", 3072), (256, 384, 1024, 3072)))
    tokens = count_text(text) if kind == "text" else 0
    return {"embeddings": [{"embeddingType": kind.upper(), "embedding": embedding}]}, tokens


def _cohere(body: JsonObject, *, is_v4: bool) -> tuple[dict[str, object], int]:
    texts = _cohere_inputs(body, is_v4=is_v4)
    if not isinstance(texts, list) or not texts or len(texts) > _MAX_BATCH or "input_type" not in body:
        raise invalid(MALFORMED)
    dimensions = _dimensions(body.get("output_dimension", 1536), (256, 512, 1024, 1536)) if is_v4 else 1024
    vectors = [vector(_text(text), dimensions) for text in texts]
    answer: dict[str, object] = {
        "id": hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32],
        "texts": texts,
        "response_type": "embeddings_by_type" if is_v4 else "embeddings_floats",
        "embeddings": {"float": vectors} if is_v4 else vectors,
    }
    return answer, sum(count_text(text) for text in texts)


def _cohere_inputs(body: JsonObject, *, is_v4: bool) -> object:
    """The inputs as texts: those of v4 may hold parts, and those of v3 one image."""
    if is_v4 and isinstance(body.get("inputs"), list):
        return [str(_object(each).get("content")) for each in body["inputs"]]
    if not is_v4 and isinstance(body.get("images"), list):
        return body["images"] if body.get("input_type") == "image" and len(body["images"]) == 1 else None
    return body.get("texts")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise invalid(MALFORMED)
    return value


def _object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise invalid(MALFORMED)
    return value


def _dimensions(value: object, allowed: tuple[int, ...]) -> int:
    if not isinstance(value, int) or value not in allowed:
        raise invalid(MALFORMED)
    return value
