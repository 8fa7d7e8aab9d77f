"""Extracts a model's own error message from Bedrock's.

Source: docs/reference/contracts/anthropic-on-invokemodel.md#reply-differences
"""

from app.wire import json

_WRAPPING = "The model returned the following errors: "


def words_of_model(message: str) -> tuple[str, str]:
    """Return the kind and the message of a model's own error inside Bedrock's message; the kind may be empty."""
    if not message.startswith(_WRAPPING):
        return "", message
    inside = message.removeprefix(_WRAPPING)
    try:
        kind, words = words_of_error(json.loads(inside))
    except json.JsonError:
        return "", inside
    return kind, words or inside


def words_of_error(document: object) -> tuple[str, str]:
    """Return the kind and the message of an error of Anthropic's; empty where it has none."""
    error = document.get("error", document) if isinstance(document, dict) else {}
    kind, words = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, None)
    return kind if isinstance(kind, str) else "", words if isinstance(words, str) else ""
