"""Token counts of the scripted models: four bytes of UTF-8 are one token."""

from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest
from app.wire import json

_BYTES_PER_TOKEN = 4
_PER_MEDIUM = 1000
_PER_MESSAGE = 3


def count_text(text: str) -> int:
    """Tokens of a text, rounded up."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def cut(text: str, limit: int) -> str:
    """The longest start of `text` that has at most `limit` tokens."""
    return text.encode()[: limit * _BYTES_PER_TOKEN].decode(errors="ignore")


def count_request(request: ConverseRequest) -> int:
    """Tokens of a Converse request: its messages, system and tools."""
    total = 0
    for message in request.get("messages") or []:
        total += _PER_MESSAGE + sum(_count_block(block) for block in message["content"])
    total += sum(count_text(block.get("text", "")) for block in request.get("system") or [])
    if config := request.get("toolConfig"):
        total += count_text(json.dumps_text(config))
    return total


def _count_block(block: ContentBlock) -> int:
    if "text" in block:
        return count_text(block["text"])
    if "image" in block or "document" in block:
        return _PER_MEDIUM
    return count_text(json.dumps_text(block))
