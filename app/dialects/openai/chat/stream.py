"""Events become chunks.

A batch of events becomes one run of bytes: what arrived together leaves together, and nothing waits for more.

Sources:
- docs/reference/contracts/openai-chat.md#stream
- docs/reference/contracts/mapping.md#streams
"""

from collections import defaultdict
from collections.abc import Iterable
from io import StringIO
from typing import Any

from app.converse.events import Event
from app.converse.usage import Usage
from app.dialects.openai.chat.response_context import (
    MALFORMED,
    ChatFacts,
    finish_reason,
    image_part,
    usage_body,
)
from app.dialects.openai.common.errors import error_body
from app.dialects.openai.common.tools import custom_input
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.sse import data_frame

_DONE = data_frame(b"[DONE]")


class ChunkStream:
    """Translates one stream."""

    def __init__(self, facts: ChatFacts) -> None:
        self._facts = facts
        head = json.dumps_text(
            {"id": facts.id, "object": "chat.completion.chunk", "created": facts.created, "model": facts.model}
        )[:-1]
        usage = ',"usage":null' if facts.include_usage else ""
        self._head = f'{head}{usage},"choices":'.encode()
        self._usage_head = f"{head},".encode()
        self._calls: dict[int, _Call] = {}
        self._called = 0
        self._reasoning = defaultdict[int, defaultdict[str, StringIO]](lambda: defaultdict(StringIO))
        self._images: dict[int, str] = {}
        self._listed: dict[str, int] = {}
        self._more: Any = None

    def from_event(self, event: Event) -> bytes:
        """The frames for an event; empty if it says nothing that a caller sees.

        Raises:
            UpstreamFailed: the model broke its own format, as the stop reason tells.
        """
        return b"".join(self._frames(event))

    def finish(self) -> bytes:
        """The end of a stream that ended well."""
        return _DONE

    def fail(self, error: GatewayError) -> bytes:
        """The end of a stream that broke: the error, and no `[DONE]`."""
        return data_frame(error_body(error))

    def _frames(self, event: Any) -> Iterable[bytes]:
        match event:
            case {"contentBlockDelta": {"delta": {"text": text}}}:
                if text:
                    yield self._delta({"content": text})
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": index}}:
                yield from self._call_piece(index, piece)
            case {"contentBlockDelta": {"delta": {"reasoningContent": piece}, "contentBlockIndex": index}}:
                yield from self._reasoning_piece(index, piece)
            case {"contentBlockDelta": {"delta": {"citation": citation}}}:
                yield self._entry("citations", citation)
            case {"contentBlockDelta": {"delta": {"image": {"source": source}}, "contentBlockIndex": index}}:
                yield self._entry("images", image_part(self._images.get(index, "png"), source))
            case {"contentBlockStart": {"start": {"image": image}, "contentBlockIndex": index}}:
                self._images[index] = image["format"]
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                yield from self._call_start(index, tool)
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                yield from self._block_stop(index)
            case {"messageStart": _}:
                yield self._delta({"role": "assistant", "content": ""})
            case {"messageStop": {"stopReason": reason, **more}}:
                self._more = more.get("additionalModelResponseFields")
                if reason in MALFORMED:
                    raise UpstreamFailed("the model's output was malformed", detail=reason)
                yield self._delta({}, finish_reason(reason, has_calls=self._called > 0))
            case {"metadata": {"usage": usage} as metadata} if self._facts.include_usage:
                tier = {"service_tier": metadata["serviceTier"]["type"]} if "serviceTier" in metadata else {}
                body = json.dumps({"choices": [], "usage": usage_body(Usage.of(usage, self._more)), **tier})
                yield data_frame(self._usage_head + body[1:])

    def _delta(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return data_frame(self._head + json.dumps([choice]) + b"}")

    def _call_start(self, index: int, tool: Any) -> Iterable[bytes]:
        if tool.get("type") == "server_tool_use":
            return
        is_custom = tool["name"] in self._facts.custom_tools
        call = self._calls[index] = _Call(self._called, is_custom=is_custom)
        self._called += 1
        named = {"name": tool["name"], "input" if is_custom else "arguments": ""}
        kind = "custom" if is_custom else "function"
        start = {"index": call.number, "id": tool["toolUseId"], "type": kind, kind: named}
        yield self._delta({"tool_calls": [start]})

    def _call_piece(self, index: int, piece: str) -> Iterable[bytes]:
        call = self._calls.get(index)
        if call is None or not piece:
            return
        call.pieces.append(piece)
        if not call.is_custom:
            yield self._arguments(call, piece)

    def _reasoning_piece(self, index: int, piece: dict[str, str]) -> Iterable[bytes]:
        if "redactedContent" in piece:
            yield self._entry("thinking_blocks", {"type": "redacted_thinking", "data": piece["redactedContent"]})
            return
        reasoning = self._reasoning[index]
        for member, value in piece.items():
            reasoning[member].write(value)
        if piece.get("text"):
            yield self._delta({"reasoning_content": piece["text"]})

    def _block_stop(self, index: int) -> Iterable[bytes]:
        call = self._calls.pop(index, None)
        if call is not None and call.is_custom:
            text = custom_input("".join(call.pieces))
            yield self._delta({"tool_calls": [{"index": call.number, "custom": {"input": text}}]})
        elif call is not None and not call.pieces:
            yield self._arguments(call, "{}")
        pieces = self._reasoning.pop(index, None)
        if pieces is not None:
            reasoning = {member: text.getvalue() for member, text in pieces.items()}
            block = {"type": "thinking", "thinking": reasoning.get("text", ""), "signature": reasoning.get("signature")}
            yield self._entry("thinking_blocks", block)

    def _entry(self, name: str, entry: dict[str, Any]) -> bytes:
        """One more entry of a list. The openai package wants an index in every entry of a list in a delta."""
        index = self._listed.get(name, 0)
        self._listed[name] = index + 1
        return self._delta({name: [{"index": index, **entry}]})

    def _arguments(self, call: "_Call", piece: str) -> bytes:
        return self._delta({"tool_calls": [{"index": call.number, "function": {"arguments": piece}}]})


class _Call:
    """A call under way. OpenAI numbers calls from 0 without gaps; Converse numbers all blocks."""

    __slots__ = ("is_custom", "number", "pieces")

    def __init__(self, number: int, *, is_custom: bool) -> None:
        self.number = number
        self.is_custom = is_custom
        self.pieces: list[str] = []
