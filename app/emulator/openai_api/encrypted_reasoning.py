"""`encrypted_content` of reasoning items.

Nothing is encrypted here: the text carries its own digest, so that a changed one is detected.
"""

import hashlib
from base64 import b64decode, b64encode
from typing import cast

from app.converse.content import ReasoningContentBlock
from app.emulator.openai_api.errors import refused
from app.wire import json

_PREFIX = "rsn_"


def encrypt(reasoning: object) -> str:
    """Encode the reasoning of an item."""
    text = json.dumps_text(reasoning).encode()
    return f"{_PREFIX}{_digest(text)}.{b64encode(text).decode()}"


def decrypt(encrypted: str) -> ReasoningContentBlock:
    """Decode what `encrypt` returned.

    Raises:
        OpenAIServiceError: the content was changed.
    """
    digest, _, encoded = encrypted.removeprefix(_PREFIX).partition(".")
    try:
        text = b64decode(encoded).decode().encode()
    except ValueError:
        raise _unverified() from None
    if _digest(text) != digest:
        raise _unverified()
    return cast(ReasoningContentBlock, json.loads(text))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _unverified() -> Exception:
    return refused("The encrypted content could not be verified.")
