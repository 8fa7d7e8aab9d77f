"""Lists of `name=value` entries, as environment variables hold them."""

import hashlib
import re

_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ALIAS = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,2047}\Z")
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\Z")
_MIN_SECRET = 16


def parse_api_keys(text: str) -> dict[str, tuple[str, ...]]:
    """Parse `secret` and `name=secret` entries: the secrets of each name, in the order of the entries.

    A name may have several secrets, so that a secret can be rotated: `a=old,a=new`. An entry without a name is called
    `key-` and eight digits of its SHA-256, because a name by position would pass to another key when entries change.
    An `=` that only pads a base64 secret makes no name.

    Raises:
        ValueError: a name is malformed, or a secret is too short, malformed or used twice. It quotes no secret.
    """
    keys: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for index, entry in enumerate((entry.strip() for entry in text.split(",") if entry.strip()), start=1):
        name, separator, secret = entry.partition("=")
        is_padding = len(entry) % 4 == 0 and len(entry) >= _MIN_SECRET and not secret.strip("=")
        if not separator or is_padding:
            name, secret = f"key-{hashlib.sha256(entry.encode()).hexdigest()[:8]}", entry
        if not _KEY_NAME.match(name):
            raise ValueError(f"the name of entry {index} must be 1 to 64 of A-Z a-z 0-9 . _ -")
        if not is_secret(secret):
            raise ValueError(f"the secret of entry {index} must be printable ASCII without spaces")
        if len(secret) < _MIN_SECRET:
            raise ValueError(
                f"the secret of entry {index} has {len(secret)} characters and can be guessed: use {_MIN_SECRET} "
                "or more, for example those of `openssl rand -hex 32`"
            )
        if secret in used:
            raise ValueError(f"entry {index} repeats a secret")
        used.add(secret)
        keys[name] = (*keys.get(name, ()), secret)
    if not keys:
        raise ValueError("must hold at least one key")
    return keys


def is_secret(text: str) -> bool:
    """Return whether a header can contain the text as it is."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def parse_aliases(text: str) -> dict[str, str]:
    """Parse `name=model` entries.

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


def parse_origins(text: str) -> tuple[str, ...]:
    """Parse origins as browsers send them, or `*`.

    Raises:
        ValueError: an entry is malformed.
    """
    origins = tuple(entry.strip() for entry in text.split(",") if entry.strip())
    for index, origin in enumerate(origins, start=1):
        if origin != "*" and not _ORIGIN.match(origin):
            raise ValueError(
                f"entry {index} must be `*` or an origin in lower case, without a path: https://app.example.com"
            )
    return origins
