"""Replies and events of Converse, as they are made of the answers of OpenAI's APIs."""

from collections.abc import Iterator
from typing import cast

from app.converse.content import ContentBlock
from app.converse.events import ContentBlockDelta, Event, ReasoningContentBlockDelta
from app.converse.reply import Reply, TokenUsage
from app.converse.request import ServiceTier
from app.converse.usage import Usage
from app.wire import json
from app.wire.json import JsonObject

_TIERS = frozenset({"default", "flex", "priority"})


def reply_of(blocks: list[ContentBlock], stop_reason: str, usage: Usage, tier: object) -> Reply:
    """Return a reply."""
    reply: Reply = {
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": stop_reason,
        "usage": _counts(usage),
        "metrics": {"latencyMs": 0},
    }
    if tier in _TIERS:
        reply["serviceTier"] = cast(ServiceTier, {"type": tier})
    if usage.reasoning:
        reply["additionalModelResponseFields"] = _reasoning_tokens(usage)
    return reply


def _counts(usage: Usage) -> TokenUsage:
    counts: TokenUsage = {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.prompt + usage.output,
    }
    if usage.cache_read or usage.cache_write:
        counts |= {"cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write}
    return counts


def _reasoning_tokens(usage: Usage) -> JsonObject:
    """Return the number of reasoning tokens where replies of Converse have it."""
    return {"usage": {"output_tokens_details": {"thinking_tokens": usage.reasoning}}}


class BlockWriter:
    """Writes the events of one message: one block after the other, each ended before the next."""

    def __init__(self) -> None:
        self._next = 0
        self._kind = ""
        self._has_begun = False

    def begin(self) -> Iterator[Event]:
        """Begin the message, once."""
        if not self._has_begun:
            self._has_begun = True
            yield {"messageStart": {"role": "assistant"}}

    def start_tool(self, use_id: str, name: str) -> Iterator[Event]:
        """Begin a tool call."""
        yield from self._switch("")
        self._kind = "toolUse"
        start: Event = {
            "contentBlockStart": {
                "start": {"toolUse": {"toolUseId": use_id, "name": name}},
                "contentBlockIndex": self._next,
            }
        }
        yield start

    def tool_input(self, piece: str) -> Iterator[Event]:
        """Continue the tool call."""
        if piece and self._kind == "toolUse":
            yield self._delta({"toolUse": {"input": piece}})

    def text(self, piece: str) -> Iterator[Event]:
        """Begin or continue a text."""
        if piece:
            yield from self._switch("text")
            yield self._delta({"text": piece})

    def reasoning(self, piece: ReasoningContentBlockDelta) -> Iterator[Event]:
        """Begin or continue reasoning."""
        if any(piece.values()):
            yield from self._switch("reasoningContent")
            yield self._delta({"reasoningContent": piece})

    def whole(self, block: JsonObject) -> Iterator[Event]:
        """Write a block that had no deltas."""
        match block:
            case {"toolUse": {"toolUseId": use_id, "name": name, "input": given}}:
                yield from self.start_tool(use_id, name)
                yield from self.tool_input(json.dumps_text(given))
            case {"text": text}:
                yield from self.text(text)
            case {"reasoningContent": {"reasoningText": {"text": text}}}:
                yield from self.reasoning({"text": text})

    def end_block(self) -> Iterator[Event]:
        """End the block that is open, if any."""
        if self._kind:
            self._kind = ""
            self._next += 1
            yield {"contentBlockStop": {"contentBlockIndex": self._next - 1}}

    def end(self, stop_reason: str, usage: Usage | None, tier: object) -> Iterator[Event]:
        """End the message. usage: None where it follows."""
        yield from self.begin()
        yield from self.end_block()
        more = {"additionalModelResponseFields": _reasoning_tokens(usage)} if usage and usage.reasoning else {}
        yield cast(Event, {"messageStop": {"stopReason": stop_reason, **more}})
        if usage is not None:
            yield metadata_event(usage, tier)

    def _switch(self, kind: str) -> Iterator[Event]:
        yield from self.begin()
        if self._kind != kind or not kind:
            yield from self.end_block()
            self._kind = kind

    def _delta(self, delta: ContentBlockDelta) -> Event:
        return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": self._next}}


def metadata_event(usage: Usage, tier: object) -> Event:
    """Return the event that ends a stream."""
    served = {"serviceTier": {"type": tier}} if tier in _TIERS else {}
    return cast(Event, {"metadata": {"usage": _counts(usage), "metrics": {"latencyMs": 0}, **served}})
