"""Reasoning that a surface of OpenAI's returns encrypted, as a block of Converse that callers can send back.

The item's id and its `encrypted_content` are the signature of the block where the reasoning is shown, and its redacted
content where it is not. The model itself verifies what is encrypted.
"""

from base64 import b64decode, b64encode

from msgspec import Struct

from app.converse.content import ReasoningContentBlock
from app.wire import json

_MARK = "oai1."


class EncryptedReasoning(Struct, frozen=True):
    """A reasoning item. text: as it was shown, or empty."""

    id: str
    encrypted_content: str
    text: str = ""


def block_of(reasoning: EncryptedReasoning) -> ReasoningContentBlock:
    """Return the block for a reasoning item."""
    mark = mark_of(reasoning.id, reasoning.encrypted_content)
    if reasoning.text:
        return {"reasoningText": {"text": reasoning.text, "signature": mark}}
    return {"redactedContent": redacted(mark)}


def mark_of(item_id: str, encrypted_content: str) -> str:
    """Return the signature that stands for an encrypted item."""
    return _MARK + b64encode(json.dumps([item_id, encrypted_content])).decode()


def redacted(mark: str) -> str:
    """Return the redacted content that stands for an encrypted item."""
    return b64encode(mark.encode()).decode()


def is_encrypted(block: ReasoningContentBlock) -> bool:
    """Tell whether a block stands for an encrypted item."""
    return _mark(block).startswith(_MARK)


def item_of(block: ReasoningContentBlock) -> EncryptedReasoning | None:
    """Return the item that a block stands for; None where it stands for none."""
    mark = _mark(block)
    if not mark.startswith(_MARK):
        return None
    try:
        item_id, encrypted_content = json.loads(b64decode(mark.removeprefix(_MARK), validate=True))
    except (json.JsonError, ValueError, TypeError):
        return None
    if not isinstance(item_id, str) or not isinstance(encrypted_content, str):
        return None
    return EncryptedReasoning(item_id, encrypted_content, block.get("reasoningText", {}).get("text", ""))


def _mark(block: ReasoningContentBlock) -> str:
    data = block.get("redactedContent")
    if data is None:
        return block.get("reasoningText", {}).get("signature", "")
    try:
        return b64decode(data, validate=True).decode("ascii")
    except ValueError:
        return ""
