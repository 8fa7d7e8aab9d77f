"""Members of documents that nobody has checked."""

from typing import Any


def text_in(document: Any, name: str) -> str:
    """The text that an object has under a name; nothing where it is no object, or no text stands there."""
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def listed(value: Any) -> list[Any]:
    """The very list that a value is; an empty one where it is none."""
    return value if isinstance(value, list) else []
