"""Rerank over InvokeModel. A score is the share of the question's words that a document has."""

import re
from typing import Any

from app.emulator.catalog import Model
from app.emulator.errors import MALFORMED, invalid

_MEMBERS = frozenset({"query", "documents", "top_n"})


def rerank(model: Model, body: Any) -> dict[str, Any]:
    """The answer of a rerank model.

    Raises:
        ServiceError: the body is not what the family takes.
    """
    members = _MEMBERS | {"api_version"} if model.family == "cohere-rerank" else _MEMBERS
    if not isinstance(body, dict) or not {"query", "documents"} <= body.keys() <= members:
        raise invalid(MALFORMED)
    if "api_version" in members and body.get("api_version", 1) < 2:
        raise invalid("Malformed input request: #/api_version: 1 is not greater or equal to 2, please reformat.")
    asked = _words(body["query"])
    scores = [len(asked & _words(text)) / max(1, len(asked)) for text in body["documents"]]
    best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[: body.get("top_n", len(scores))]
    return {"results": [{"index": index, "relevance_score": scores[index]} for index in best]}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
