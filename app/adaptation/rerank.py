"""Rerank: the body for InvokeModel, and what came of it. Shapes: `app/models/families/rerankers.py` says whence."""

from typing import Any

from msgspec import Struct

from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import Capabilities

_LARGEST_SCORE = 1e9  # scores are between 0 and 1; this bound tells nonsense, not a number and infinity


class RerankCall(Struct, frozen=True):
    """What a caller wants sorted. model: the name the caller used. top: how many of the best; None for all."""

    model: str
    query: str
    documents: list[str]
    top: int | None = None


def adapt_rerank(call: RerankCall, capabilities: Capabilities) -> dict[str, Any]:
    """The body that this model takes.

    Raises:
        InvalidRequest: the model sorts nothing.
    """
    if not capabilities.rerank.accepted:
        raise InvalidRequest("this model does not rerank: name one that does", param="model")
    body: dict[str, Any] = {"query": call.query, "documents": call.documents}
    # an answer with none left out is asked for by number: not every model gives all unasked
    body["top_n"] = len(call.documents) if call.top is None else min(call.top, len(call.documents))
    if capabilities.rerank.api_version:
        body["api_version"] = capabilities.rerank.api_version
    return body


def scores_of(document: dict[str, Any], call: RerankCall) -> list[tuple[int, float]]:
    """Index and score of each document that was kept, the best first.

    Raises:
        UpstreamFailed: the answer makes no sense.
    """
    scores: dict[int, float] = {}
    results = document.get("results")
    for each in results if isinstance(results, list) else [None]:
        match each:
            case {"index": int(index), "relevance_score": int() | float() as score} if (
                0 <= index < len(call.documents) and index not in scores and abs(score) <= _LARGEST_SCORE
            ):
                scores[index] = float(score)
            case _:
                raise UpstreamFailed("Bedrock's reply made no sense", detail="results")
    return sorted(scores.items(), key=lambda item: -item[1])[: call.top]
