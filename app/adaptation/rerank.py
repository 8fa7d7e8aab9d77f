"""Rerank: the body for InvokeModel, and its scores. `app/models/families/rerankers.py` names the sources."""

from msgspec import Struct, field

from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import Capabilities
from app.wire.json import JsonObject

_LARGEST_SCORE = 1e9  # scores are between 0 and 1; this excludes NaN and infinity


class RerankCall(Struct, frozen=True):
    """Documents to rank for a query.

    model: the name the caller used. top: how many of the best; None for all.
    ignored: paths of fields of the request that have no effect.
    """

    model: str
    query: str
    documents: list[str]
    top: int | None = None
    ignored: list[str] = field(default_factory=list)


def adapt_rerank(call: RerankCall, capabilities: Capabilities) -> JsonObject:
    """Return the body that a model accepts.

    Raises:
        InvalidRequest: the model does not rerank.
    """
    if not capabilities.rerank.accepted:
        raise InvalidRequest("this model does not rerank: name one that does", param="model")
    body: JsonObject = {"query": call.query, "documents": call.documents}
    # not every model returns all by default
    body["top_n"] = len(call.documents) if call.top is None else min(call.top, len(call.documents))
    if capabilities.rerank.api_version:
        body["api_version"] = capabilities.rerank.api_version
    return body


def scores_of(document: JsonObject, call: RerankCall) -> list[tuple[int, float]]:
    """Return the index and score of each document in the response, the best first.

    Raises:
        UpstreamFailed: the response is malformed.
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
