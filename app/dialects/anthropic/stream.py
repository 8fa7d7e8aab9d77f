"""Translates a stream of Converse to Anthropic's events.

Converse does not announce text or reasoning: a block starts with its first delta. Converse's last event is the usage,
which belongs to `message_delta`, Anthropic's last event but one: that is held back until then.

Sources:
- docs/reference/contracts/anthropic-messages.md#stream
- docs/reference/contracts/mapping.md#streams
"""

from collections.abc import Iterable
from typing import Any

from app.converse.events import Event
from app.converse.reply import MALFORMED_OUTPUT
from app.dialects.anthropic.citations import from_converse
from app.dialects.anthropic.errors import error_body
from app.dialects.anthropic.response import image_block, thinking_block
from app.dialects.anthropic.response_context import MessageResponseContext, stop_reason, usage_body
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import named_frame

_NO_USAGE = usage_body(None)
PING = named_frame("ping", b'{"type":"ping"}')


class EventStream:
    """Translates one stream."""

    def __init__(self, response_context: MessageResponseContext) -> None:
        self._response_context = response_context
        # Converse numbers all blocks; Anthropic only those that it sends
        self._numbers: dict[int, int] = {}
        self._images: dict[int, str] = {}
        self._silent: set[int] = set()
        self._sent = 0
        self._has_calls = False
        self._stop: str | None = None

    def from_event(self, event: Event) -> bytes:
        """Return the frames for an event; empty if it holds nothing for the caller.

        Raises:
            UpstreamFailed: the stop reason reports malformed output.
        """
        return b"".join(self._frames(event))

    def finish(self) -> bytes:
        """Return the end of a stream that succeeded; without a usage of Converse's its counts are 0."""
        return b"".join(self._end(None, None))

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed."""
        return named_frame("error", error_body(error, self._response_context.request_id))

    def _frames(self, event: Any) -> Iterable[bytes]:
        match event:
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                yield from self._delta(index, delta)
            case {"contentBlockStart": {"start": start, "contentBlockIndex": index}}:
                yield from self._start(index, start)
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                if index in self._numbers:
                    yield _frame("content_block_stop", {"index": self._numbers.pop(index)})
            case {"messageStart": _}:
                yield _frame("message_start", {"message": self._empty_message()}) + PING
            case {"messageStop": {"stopReason": reason}}:
                if reason in MALFORMED_OUTPUT:
                    raise UpstreamFailed("the model's output was malformed", detail=reason)
                self._stop = stop_reason(reason, has_calls=self._has_calls)
            case {"metadata": metadata}:
                yield from self._end(metadata["usage"], metadata.get("serviceTier", {}).get("type"))

    def _empty_message(self) -> JsonObject:
        return {
            "id": self._response_context.id,
            "type": "message",
            "role": "assistant",
            "model": self._response_context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _NO_USAGE,
        }

    def _start(self, index: int, start: JsonObject) -> Iterable[bytes]:
        match start:
            case {"toolUse": tool} if tool.get("type") != "server_tool_use":
                self._has_calls = True
                yield self._open(
                    index, {"type": "tool_use", "id": tool["toolUseId"], "name": tool["name"], "input": {}}
                )
            case {"image": image}:
                self._images[index] = image["format"]
            case _:
                self._silent.add(index)

    def _delta(self, index: int, delta: JsonObject) -> Iterable[bytes]:
        if index in self._silent:
            return
        match delta:
            case {"text": text}:
                yield from self._begun(index, {"type": "text", "text": ""})
                if text:
                    yield self._piece(index, {"type": "text_delta", "text": text})
            case {"toolUse": {"input": piece}}:
                if piece:
                    yield self._piece(index, {"type": "input_json_delta", "partial_json": piece})
            case {"reasoningContent": {"redactedContent": data}}:
                yield from self._begun(index, {"type": "redacted_thinking", "data": data})
            case {"reasoningContent": reasoning}:
                yield from self._begun(index, thinking_block("", ""))
                if reasoning.get("text"):
                    yield self._piece(index, {"type": "thinking_delta", "thinking": reasoning["text"]})
                if reasoning.get("signature"):
                    yield self._piece(index, {"type": "signature_delta", "signature": reasoning["signature"]})
            case {"citation": citation}:
                yield from self._begun(index, {"type": "text", "text": ""})
                yield self._piece(index, {"type": "citations_delta", "citation": from_converse(citation)})
            case {"image": {"source": source}}:
                yield from self._begun(index, image_block(self._images.get(index, "png"), source))

    def _begun(self, index: int, block: JsonObject) -> Iterable[bytes]:
        if index not in self._numbers:
            yield self._open(index, block)

    def _open(self, index: int, block: JsonObject) -> bytes:
        number = self._numbers[index] = self._sent
        self._sent += 1
        return _frame("content_block_start", {"index": number, "content_block": block})

    def _piece(self, index: int, delta: JsonObject) -> bytes:
        return _frame("content_block_delta", {"index": self._numbers[index], "delta": delta})

    def _end(self, usage: JsonObject | None, tier: str | None) -> Iterable[bytes]:
        if self._stop is None:
            return
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        self._stop = None
        yield _frame("message_delta", {"delta": delta, "usage": usage_body(usage, tier)})
        yield _frame("message_stop", {})


def _frame(kind: str, members: JsonObject) -> bytes:
    return named_frame(kind, json.dumps({"type": kind, **members}))
