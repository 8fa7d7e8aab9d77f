"""Identifiers that Outcrop makes."""

import secrets


def new_id(prefix: str) -> str:
    """Return `prefix` and 24 random hexadecimal digits: `new_id("chatcmpl-")`."""
    return prefix + secrets.token_hex(12)
