"""Rerank: the body for InvokeModel, and what came of it. Shapes: `app/models/families/rerankers.py` says whence."""

from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest, UpstreamFailed
from app.models.traits import Traits


@dataclass(frozen=True, slots=True)
class RerankCall:
    """What a caller wants sorted. model: the name the caller used. top: how many of the best; None for all."""

    model: str
    query: str
    documents: list[str]
    top: int | None = None


def tailor_rerank(call: RerankCall, traits: Traits) -> dict[str, Any]:
    """The body that this model takes.

    Raises:
        InvalidRequest: the model sorts nothing.
    """
    if not traits.rerank:
        raise InvalidRequest("this model does not rerank", param="model")
    body: dict[str, Any] = {"query": call.query, "documents": call.documents}
    # an answer with none left out is asked for by number: not every model gives all unasked
    body["top_n"] = len(call.documents) if call.top is None else min(call.top, len(call.documents))
    if traits.rerank_version:
        body["api_version"] = traits.rerank_version
    return body


def scores_of(document: dict[str, Any], count: int) -> list[tuple[int, float]]:
    """Index and score of each document that was kept, the best first. `count`: how many were sent.

    Raises:
        UpstreamFailed: the answer makes no sense.
    """
    try:
        scores = [(int(each["index"]), float(each["relevance_score"])) for each in document["results"]]
    except (LookupError, TypeError, ValueError) as error:
        raise UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__) from None
    if any(not 0 <= index < count for index, _ in scores):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="an index of no document")
    return scores
