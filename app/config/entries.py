"""Lists of `name=value` entries, as environment variables hold them."""

import hashlib
import re

_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ALIAS = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,2047}\Z")
_MIN_PADDED = 16


def parse_api_keys(text: str) -> dict[str, str]:
    """Read `secret` and `name=secret` entries; one without a name is called `key-` and eight digits of its SHA-256.

    Its place would be no name: whoever came into that place would find what the one before had kept.

    An `=` that only pads a secret, as base64 of sixteen letters or more may end, makes no name.

    Raises:
        ValueError: a name is malformed or used twice, or a secret is empty or used twice. Quotes no secret.
    """
    keys: dict[str, str] = {}
    for index, entry in enumerate((entry.strip() for entry in text.split(",") if entry.strip()), start=1):
        name, separator, secret = entry.partition("=")
        is_padding = len(entry) % 4 == 0 and len(entry) >= _MIN_PADDED and not secret.strip("=")
        if not separator or is_padding:
            name, secret = f"key-{hashlib.sha256(entry.encode()).hexdigest()[:8]}", entry
        if not _KEY_NAME.match(name):
            raise ValueError(f"the name of entry {index} must be 1 to 64 of A-Z a-z 0-9 . _ -")
        if not is_secret(secret):
            raise ValueError(f"the secret of entry {index} must be printable ASCII without spaces")
        if name in keys or secret in keys.values():
            raise ValueError(f"entry {index} repeats a name or a secret")
        keys[name] = secret
    if not keys:
        raise ValueError("must hold at least one key")
    return keys


def is_secret(text: str) -> bool:
    """True if a header can carry it as it is."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def parse_aliases(text: str) -> dict[str, str]:
    """Read `name=model` entries.

    Raises:
        ValueError: an entry is malformed, or a name is used twice.
    """
    aliases: dict[str, str] = {}
    for index, entry in enumerate((entry.strip() for entry in text.split(",") if entry.strip()), start=1):
        name, _, model = entry.partition("=")
        if not _ALIAS.match(name) or not _MODEL.match(model):
            raise ValueError(f"entry {index} must be name=model, the name of A-Z a-z 0-9 . _ -")
        if name in aliases:
            raise ValueError(f"entry {index} names {name} again")
        aliases[name] = model
    return aliases
