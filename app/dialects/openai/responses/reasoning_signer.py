"""Signs reasoning that stateless callers keep: OpenAI's `encrypted_content`, which only this gateway can have made.

The reasoning itself is readable. The signature covers it, the caller's name and the model: reasoning that comes back
changed, from another caller or for another model is left out.

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
        secrets: shared by all processes of a deployment. The last signs; any of them may have signed what is read.
    """

    def __init__(self, secrets: tuple[bytes, ...], owner: str, model: str) -> None:
        scope = f"{_VERSION}\0{owner}\0{model}".encode()
        self._keys = [hmac.digest(secret, scope, "sha256") for secret in secrets]

    def close(self, block: ReasoningContentBlock) -> str:
        """Return the signed form of a block."""
        payload = json.dumps(block)
        return f"{_VERSION}.{_text(payload)}.{_text(hmac.digest(self._keys[-1], payload, 'sha256'))}"

    def open(self, signed: str) -> ReasoningContentBlock | None:
        """Return the block inside, or None where it was not signed here for this caller and this model."""
        version, _, rest = signed.partition(".")
        payload, _, signature = rest.partition(".")
        if version != _VERSION:
            return None
        try:
            data, given = urlsafe_b64decode(payload), urlsafe_b64decode(signature)
        except ValueError:
            return None
        if not any(hmac.compare_digest(given, hmac.digest(key, data, "sha256")) for key in self._keys):
            return None
        block: Any = json.loads(data)
        return block  # type: ignore[no-any-return]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()
