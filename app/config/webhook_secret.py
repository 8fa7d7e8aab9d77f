"""Parses WEBHOOK_SECRET."""

import base64
import binascii

_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64


def parse_webhook_secret(text: str) -> bytes:
    """Return the key of a secret `whsec_BASE64`, as Standard Webhooks writes it.

    Raises:
        ValueError: it is malformed, too short or too long.
    """
    if text.startswith(_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if _MIN_BYTES <= len(key) <= _MAX_BYTES:
            return key
    raise ValueError(f"must be {_PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} random bytes in base64")
