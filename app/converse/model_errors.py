"""A model's own words, out of what Bedrock wraps around them when the model refuses or fails.

Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
"""

from typing import Any

from app.wire import json

_WRAPPING = "The model returned the following errors: "


def words_of_model(message: str) -> tuple[str, str]:
    """The kind that a model gives its error, if any, and its own words, out of what Bedrock has wrapped around them."""
    if not message.startswith(_WRAPPING):
        return "", message
    inside = message.removeprefix(_WRAPPING)
    try:
        kind, words = words_of_error(json.loads(inside))
    except json.JsonError:
        return "", inside
    return kind, words or inside


def words_of_error(document: Any) -> tuple[str, str]:
    """The kind and the words of one of Anthropic's own errors; empty where there are none."""
    error = document.get("error", document) if isinstance(document, dict) else {}
    kind, words = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, None)
    return kind if isinstance(kind, str) else "", words if isinstance(words, str) else ""
