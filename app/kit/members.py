"""Members of documents that nobody has checked."""

from typing import Any


def text_in(document: Any, name: str) -> str:
    """The text that an object has under a name; nothing where it is no object, or no text stands there."""
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""
