"""Reads members of unvalidated JSON documents."""

from typing import Any


def text_in(document: object, name: str) -> str:
    """Return a member if it is a string, else an empty string."""
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""


def listed(value: object) -> list[Any]:
    """Return the same object if it is a list, else an empty list."""
    return value if isinstance(value, list) else []
