"""Finds secrets of virtual keys, `oc_<id>_<random>`, in texts that are recorded: programs send them in wrong fields."""

import re

_BEGINNING = "oc_"
ID_PATTERN = r"[0-9a-hjkmnp-tv-z]{26}"
# also a part of one: the first letters of the random part are no less secret
_SECRET = re.compile(rf"({_BEGINNING}{ID_PATTERN})_[a-z2-7]+")


def has_secret(text: str) -> bool:
    """Return whether a text holds the secret of a key."""
    return _BEGINNING in text and _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """Return a text with each secret shortened to `oc_<id>`."""
    return _SECRET.sub(r"\1", text) if _BEGINNING in text else text
