"""Rerank models over InvokeModel. A document's score is the share of the query's words that it contains."""

import re

from app.emulator.catalog import Model
from app.emulator.errors import MALFORMED, invalid

_FIELDS = frozenset({"query", "documents", "top_n"})


def rerank(model: Model, body: object) -> dict[str, object]:
    """The response of a rerank model.

    Raises:
        ServiceError: the body does not fit the model.
    """
    fields = _FIELDS | {"api_version"} if model.rules == "cohere-rerank" else _FIELDS
    if not isinstance(body, dict) or not {"query", "documents"} <= body.keys() <= fields:
        raise invalid(MALFORMED)
    if "api_version" in fields and body.get("api_version", 1) < 2:
        raise invalid("Malformed input request: #/api_version: 1 is not greater or equal to 2, please reformat.")
    query = _words(body["query"])
    scores = [len(query & _words(text)) / max(1, len(query)) for text in body["documents"]]
    best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[: body.get("top_n", len(scores))]
    return {"results": [{"index": index, "relevance_score": scores[index]} for index in best]}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
