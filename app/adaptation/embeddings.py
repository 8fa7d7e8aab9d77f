"""Embeddings: one call becomes as many bodies as the model needs for its inputs.

Shapes: the recordings of Titan v2, Cohere v3 and v4 and Nova; AWS user guide, inference parameters (2026-11), for Titan
v1, Titan Multimodal, Marengo 2.7 and 3.0, and the images of Cohere and Nova.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import Capabilities
from app.models.capability_groups import EmbeddingCapabilities
from app.wire.json import JsonObject

_NOVA_PURPOSES = {
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}

MediaKind = Literal["image", "audio", "video"]


class EmbeddedMedia(Struct, frozen=True):
    """One image, sound or film. media_type: as in a data: URL. format: its last part. data: in base64."""

    kind: MediaKind
    media_type: str
    format: str
    data: str

    @property
    def url(self) -> str:
        return f"data:{self.media_type};base64,{self.data}"


class MixedInput(Struct, frozen=True):
    """An input that holds media. path: of the field that holds it. text: beside the media; empty for none."""

    path: str
    media: tuple[EmbeddedMedia, ...]
    text: str = ""


Input = str | MixedInput


class EmbeddingCall(Struct, frozen=True):
    """Inputs to embed.

    model: the name the caller used. inputs: at least one. dimensions: of a vector; None for the model's default.
    purpose: a value of Cohere's `input_type`; empty for documents that will be searched.
    ignored: paths of fields of the request that have no effect.
    """

    model: str
    inputs: Sequence[Input]
    dimensions: int | None = None
    purpose: str = ""
    ignored: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The texts of all inputs."""
        texts = (each if isinstance(each, str) else each.text for each in self.inputs)
        return [text for text in texts if text]


class AdaptedEmbeddings(Struct):
    """The bodies for InvokeModel, in the order of the inputs, and the fields that this model has no equivalent for."""

    bodies: list[JsonObject]
    ignored: list[str] = field(default_factory=list)


def adapt_embeddings(call: EmbeddingCall, capabilities: Capabilities) -> AdaptedEmbeddings:
    """Return the bodies that a model accepts.

    Raises:
        InvalidRequest: the model makes no embeddings, none with these dimensions, or none of such an input.
    """
    embeddings = capabilities.embeddings
    if not embeddings.member:
        raise InvalidRequest(
            "this model makes no embeddings: name one that does, or have EMBEDDING_MODEL_ID set", param="model"
        )
    if call.dimensions is not None and call.dimensions not in embeddings.sizes:
        sizes = ", ".join(map(str, sorted(embeddings.sizes)))
        raise InvalidRequest(f"this model's vectors have {sizes} dimensions", param="dimensions")
    # a model with one size has no field for it
    size = call.dimensions if len(embeddings.sizes) > 1 else None
    for each in call.inputs:
        if isinstance(each, MixedInput):
            _check(each, embeddings)
    bodies: list[JsonObject] = []
    for batch in _batches(call.inputs, embeddings):
        match embeddings.member:
            case "texts":
                bodies.append(_cohere(batch, size, call.purpose, has_inputs=embeddings.mixed_batch))
            case "singleEmbeddingParams":
                bodies.append(_nova(batch[0], size, call.purpose))
            case "inputType":
                bodies.append(_marengo(batch[0], is_nested=embeddings.mixed))
            case "inputTextOrImage":
                bodies.append(_titan_multimodal(batch[0], size))
            case _:
                bodies.append(_titan(batch[0], size))
    has_purpose = embeddings.member in ("texts", "singleEmbeddingParams")
    return AdaptedEmbeddings(bodies, ["input_type"] if call.purpose and not has_purpose else [])


def _check(given: MixedInput, embeddings: EmbeddingCapabilities) -> None:
    """Raise InvalidRequest for media that the model does not embed: as a text they would get a wrong vector."""
    refused = sorted({media.kind for media in given.media} - embeddings.media)
    if refused:
        accepted = " and ".join(["texts", *[f"{kind}s" for kind in sorted(embeddings.media)]])
        raise InvalidRequest(f"this model embeds {accepted}, no {refused[0]}s", param=given.path)
    if len(given.media) > 1 and not embeddings.mixed_batch:
        raise InvalidRequest("this model embeds one image at a time", param=given.path)
    if given.text and not embeddings.mixed:
        raise InvalidRequest("this model embeds no text together with media: send them apart", param=given.path)


def _batches(inputs: Sequence[Input], embeddings: EmbeddingCapabilities) -> Iterator[list[Input]]:
    """Yield the inputs of each body: texts together up to the model's batch, media alone unless they mix."""
    batch: list[Input] = []
    is_mixed = embeddings.mixed_batch and not all(isinstance(each, str) for each in inputs)
    for each in inputs:
        is_alone = isinstance(each, MixedInput) and not is_mixed
        if batch and (is_alone or len(batch) == embeddings.batch):
            yield batch
            batch = []
        batch.append(each)
        if is_alone:
            yield batch
            batch = []
    if batch:
        yield batch


def vectors_of(document: JsonObject) -> list[list[float]]:
    """Return the vectors of a response of any family.

    Raises:
        UpstreamFailed: it has none, or some that are not vectors.
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
        case {"embeddings": [{"embedding": _}, *_] as items} | {"data": [{"embedding": _}, *_] as items}:
            return [item["embedding"] for item in items]
        case {"embeddings": [*vectors]}:
            return vectors
        case _:
            return []


def _titan(given: Input, size: int | None) -> JsonObject:
    return {"inputText": given} if size is None else {"inputText": given, "dimensions": size}


def _titan_multimodal(given: Input, size: int | None) -> JsonObject:
    body: JsonObject = {"inputText": given} if isinstance(given, str) else {"inputImage": given.media[0].data}
    if isinstance(given, MixedInput) and given.text:
        body["inputText"] = given.text
    return body if size is None else {**body, "embeddingConfig": {"outputEmbeddingLength": size}}


def _cohere(inputs: list[Input], size: int | None, purpose: str, *, has_inputs: bool) -> JsonObject:
    """Return a body. v3 has no `inputs`, but a purpose for images, which come alone."""
    texts = [each for each in inputs if isinstance(each, str)]
    body: JsonObject = {"input_type": purpose or "search_document", "truncate": "NONE"}
    if len(texts) == len(inputs):
        body["texts"] = texts
    elif has_inputs:
        body["inputs"] = [{"content": _parts(each)} for each in inputs]
    else:
        images = [media.url for each in inputs if isinstance(each, MixedInput) for media in each.media]
        body = {"images": images, "input_type": "image"}
    return body if size is None else {**body, "output_dimension": size}


def _parts(given: Input) -> list[JsonObject]:
    """Return Cohere's content of an input."""
    text, media = (given, ()) if isinstance(given, str) else (given.text, given.media)
    parts: list[JsonObject] = [{"type": "text", "text": text}] if text else []
    return [*parts, *[{"type": "image_url", "image_url": {"url": each.url}} for each in media]]


def _nova(given: Input, size: int | None, purpose: str) -> JsonObject:
    parameters: JsonObject = {"embeddingPurpose": _NOVA_PURPOSES.get(purpose, "GENERIC_INDEX")}
    if isinstance(given, str):
        parameters["text"] = {"value": given, "truncationMode": "NONE"}
    else:
        media = given.media[0]
        parameters[media.kind] = {"format": media.format, "source": {"bytes": media.data}}
        if media.kind == "video":
            # one vector for sound and picture
            parameters["video"]["embeddingMode"] = "AUDIO_VIDEO_COMBINED"
    if size is not None:
        parameters["embeddingDimension"] = size
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": parameters}


def _marengo(given: Input, *, is_nested: bool) -> JsonObject:
    """Return a body of Marengo 2.7, or of 3.0, which nests it and embeds a text with an image."""
    if isinstance(given, str):
        kind, inside = "text", {"inputText": given}
        return {"inputType": kind, kind: inside} if is_nested else {"inputType": kind, "textTruncate": "none", **inside}
    source: JsonObject = {"mediaSource": {"base64String": given.media[0].data}}
    if not is_nested:
        return {"inputType": "image", **source}
    kind = "text_image" if given.text else "image"
    return {"inputType": kind, kind: {**source, **({"inputText": given.text} if given.text else {})}}
