"""A message, and the events of one, as a reply and the events of Converse.

Source: docs/reference/contracts/anthropic-messages.md#reply
"""

from collections.abc import Iterator
from typing import Any

from app.adaptation.answers import BlockWriter, reply_of
from app.converse.content import ContentBlock
from app.converse.events import Event
from app.converse.reply import Reply
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject

_STOP_REASONS = {"refusal": "content_filtered", "pause_turn": "end_turn"}


class MessageUsage:
    """Reads the tokens of a message, or of the events of one, whose counts add to each other."""

    def __init__(self) -> None:
        self._counts: JsonObject = {}

    def __call__(self, document: JsonObject) -> Usage | None:
        """Return the tokens so far; None if a document holds no count."""
        message = document.get("message")
        usage = (message if isinstance(message, dict) else document).get("usage")
        if not isinstance(usage, dict):
            return None
        self._counts |= {name: count for name, count in usage.items() if count is not None}
        return Usage.of_message(self._counts)


def from_message(document: JsonObject) -> Reply:
    """Return the reply for a message.

    Raises:
        UpstreamFailed: the document is not a message.
    """
    if document.get("type") != "message":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no message")
    blocks = [made for block in document["content"] for made in _block(block)]
    usage = MessageUsage()(document) or Usage()
    return reply_of(blocks, _stop_reason(document["stop_reason"]), usage, None)


def _stop_reason(reason: str) -> str:
    return _STOP_REASONS.get(reason, reason)


def _block(block: Any) -> Iterator[ContentBlock]:
    match block:
        case {"type": "text", "text": text}:
            if text:
                yield {"text": text}
        case {"type": "thinking", "thinking": text, "signature": signature}:
            yield {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": data}:
            yield {"reasoningContent": {"redactedContent": data}}
        case {"type": "tool_use", "id": use_id, "name": name, "input": given}:
            yield {"toolUse": {"toolUseId": use_id, "name": name, "input": given}}


class MessageEvents:
    """Translates the events of one message."""

    def __init__(self) -> None:
        self._writer = BlockWriter()
        self._usage = MessageUsage()
        self._counted = Usage()
        self._stop_reason = ""

    def feed(self, document: JsonObject) -> list[Event]:
        """Return the events for one of the stream."""
        self._counted = self._usage(document) or self._counted
        return list(self._events(document))

    def _events(self, document: Any) -> Iterator[Event]:
        match document:
            case {"type": "message_start"}:
                yield from self._writer.begin()
            case {"type": "content_block_start", "content_block": block}:
                yield from self._begin(block)
            case {"type": "content_block_delta", "delta": delta}:
                yield from self._delta(delta)
            case {"type": "content_block_stop"}:
                yield from self._writer.end_block()
            case {"type": "message_delta", "delta": {"stop_reason": str(reason)}}:
                self._stop_reason = _stop_reason(reason)
            case {"type": "message_stop"}:
                yield from self._writer.end(self._stop_reason or "end_turn", self._counted, None)

    def _begin(self, block: Any) -> Iterator[Event]:
        match block:
            case {"type": "tool_use", "id": use_id, "name": name, "input": given}:
                yield from self._writer.start_tool(use_id, name)
                if given:
                    yield from self._writer.tool_input(json.dumps_text(given))
            case {"type": "redacted_thinking", "data": data}:
                yield from self._writer.reasoning({"redactedContent": data})

    def _delta(self, delta: Any) -> Iterator[Event]:
        match delta:
            case {"type": "text_delta", "text": text}:
                yield from self._writer.text(text)
            case {"type": "input_json_delta", "partial_json": piece}:
                yield from self._writer.tool_input(piece)
            case {"type": "thinking_delta", "thinking": text}:
                yield from self._writer.reasoning({"text": text})
            case {"type": "signature_delta", "signature": signature}:
                yield from self._writer.reasoning({"signature": signature})
