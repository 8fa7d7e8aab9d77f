"""Embeddings: one call becomes as many bodies as the model needs for its texts.

Shapes: the recordings of Titan v2, Cohere v3 and v4 and Nova; AWS user guide, inference parameters, for Titan v1.
"""

import struct
from typing import Any

from msgspec import Struct, field

from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import Capabilities
from app.wire.json import JsonObject

_NOVA_PURPOSES = {
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}


class EmbeddingCall(Struct, frozen=True):
    """Texts to embed.

    model: the name the caller used. texts: at least one. dimensions: of a vector; None for the model's default.
    purpose: a value of Cohere's `input_type`; empty for documents that will be searched.
    ignored: paths of fields of the request that have no effect.
    """

    model: str
    texts: list[str]
    dimensions: int | None = None
    purpose: str = ""
    ignored: list[str] = field(default_factory=list)


class AdaptedEmbeddings(Struct):
    """The bodies for InvokeModel, in the order of their texts, and the fields that this model has no equivalent for."""

    bodies: list[JsonObject]
    ignored: list[str] = field(default_factory=list)


def adapt_embeddings(call: EmbeddingCall, capabilities: Capabilities) -> AdaptedEmbeddings:
    """Return the bodies that a model accepts.

    Raises:
        InvalidRequest: the model makes no embeddings, or none with these dimensions.
    """
    if not capabilities.embeddings.member:
        raise InvalidRequest(
            "this model makes no embeddings: name one that does, or have EMBEDDING_MODEL_ID set", param="model"
        )
    if call.dimensions is not None and call.dimensions not in capabilities.embeddings.sizes:
        sizes = ", ".join(map(str, sorted(capabilities.embeddings.sizes)))
        raise InvalidRequest(f"this model's vectors have {sizes} dimensions", param="dimensions")
    # a model with one size has no field for it
    size = call.dimensions if len(capabilities.embeddings.sizes) > 1 else None
    batches = [
        call.texts[start : start + capabilities.embeddings.batch]
        for start in range(0, len(call.texts), capabilities.embeddings.batch)
    ]
    match capabilities.embeddings.member:
        case "texts":
            return AdaptedEmbeddings([_cohere(batch, size, call.purpose or "search_document") for batch in batches])
        case "singleEmbeddingParams":
            return AdaptedEmbeddings([_nova(text, size, call.purpose) for (text,) in batches])
        case _:
            ignored = ["input_type"] if call.purpose else []
            return AdaptedEmbeddings([_titan(text, size) for (text,) in batches], ignored)


def vectors_of(document: JsonObject) -> list[list[float]]:
    """Return the vectors of a response of any family.

    Raises:
        UpstreamFailed: it has none, or some that are no vectors.
    """
    vectors = _vectors_in(document)
    try:
        for vector in vectors:
            struct.pack(f"<{len(vector)}f", *vector)
    except (struct.error, TypeError, OverflowError):
        vectors = []
    if not all(vectors) or not vectors:
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no embeddings")
    return vectors


def _vectors_in(document: JsonObject) -> list[Any]:
    match document:
        case {"embedding": [*vector]}:
            return [vector]
        case {"embeddings": {"float": [*vectors]}}:
            return vectors
        case {"embeddings": [{"embedding": _}, *_] as items}:
            return [item["embedding"] for item in items]
        case {"embeddings": [*vectors]}:
            return vectors
        case _:
            return []


def _titan(text: str, size: int | None) -> JsonObject:
    return {"inputText": text} if size is None else {"inputText": text, "dimensions": size}


def _cohere(texts: list[str], size: int | None, purpose: str) -> JsonObject:
    body: JsonObject = {"texts": texts, "input_type": purpose, "truncate": "NONE"}
    return body if size is None else {**body, "output_dimension": size}


def _nova(text: str, size: int | None, purpose: str) -> JsonObject:
    parameters: JsonObject = {
        "embeddingPurpose": _NOVA_PURPOSES.get(purpose, "GENERIC_INDEX"),
        "text": {"value": text, "truncationMode": "NONE"},
    }
    if size is not None:
        parameters["embeddingDimension"] = size
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": parameters}
