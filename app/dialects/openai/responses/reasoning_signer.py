"""Thoughts on their way through stateless callers: OpenAI's `encrypted_content`, which only this gateway can have made.

What a model thought crosses as it is, beside a signature over it, the caller's name and the model: whoever sends it
back as another caller, to another model, or changed, sends nothing.

Source: docs/reference/contracts/openai-responses.md#state
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from app.converse.content import ReasoningContentBlock
from app.wire import json

_VERSION = "oc1"


class ReasoningSigner:
    """Makes and reads `encrypted_content` for one caller and one model.

    Args:
        secret: shared by all processes of a deployment.
    """

    def __init__(self, secret: bytes, owner: str, model: str) -> None:
        self._key = hmac.digest(secret, f"{_VERSION}\0{owner}\0{model}".encode(), "sha256")

    def close(self, block: ReasoningContentBlock) -> str:
        """The sealed form of a thought."""
        payload = json.dumps(block)
        return f"{_VERSION}.{_text(payload)}.{_text(hmac.digest(self._key, payload, 'sha256'))}"

    def open(self, signed: str) -> ReasoningContentBlock | None:
        """The thought inside, or None where it was not sealed here, for this caller and this model."""
        version, _, rest = signed.partition(".")
        payload, _, signature = rest.partition(".")
        if version != _VERSION:
            return None
        try:
            data, given = urlsafe_b64decode(payload), urlsafe_b64decode(signature)
        except ValueError:
            return None
        if not hmac.compare_digest(given, hmac.digest(self._key, data, "sha256")):
            return None
        block: Any = json.loads(data)
        return block  # type: ignore[no-any-return]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()
