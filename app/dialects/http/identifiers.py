"""Identifiers that Outcrop makes."""

from app.process.random_digits import random_digits


def new_id(prefix: str) -> str:
    """Return `prefix` and 24 random hexadecimal digits: `new_id("chatcmpl-")`."""
    return prefix + random_digits()[:24]
