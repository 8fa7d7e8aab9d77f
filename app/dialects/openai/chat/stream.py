"""Translates a stream of Converse to chunks.

A batch of events becomes one piece of bytes: what arrived together is sent together.

Sources:
- docs/reference/contracts/openai-chat.md#stream
- docs/reference/contracts/mapping.md#streams
"""

from collections import defaultdict
from io import StringIO
from typing import Any

from app.converse.reply import MALFORMED_OUTPUT
from app.converse.usage import Usage
from app.dialects.openai.chat.response import (
    ChatResponseContext,
    finish_reason,
    image_part,
    usage_body,
)
from app.dialects.openai.common.errors import error_body
from app.dialects.openai.common.tools import custom_input
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import data_frame

_DONE = data_frame(b"[DONE]")
# what surrounds the text of a chunk
_TEXT_START = b'[{"index":0,"delta":{"content":'
_TEXT_END = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class ChunkStream:
    """Translates one stream."""

    def __init__(self, response_context: ChatResponseContext) -> None:
        self._response_context = response_context
        head = json.dumps(
            {
                "id": response_context.id,
                "object": "chat.completion.chunk",
                "created": response_context.created,
                "model": response_context.model,
            }
        )[:-1]
        usage = b',"usage":null' if response_context.include_usage else b""
        self._head = b"data: " + head + usage + b',"choices":'
        self._text_head = self._head + _TEXT_START
        self._usage_head = head + b","
        self._calls: dict[int, _Call] = {}
        self._called = 0
        self._reasoning = defaultdict[int, defaultdict[str, StringIO]](lambda: defaultdict(StringIO))
        self._images: dict[int, str] = {}
        self._listed: dict[str, int] = {}
        self._model_fields: Any = None

    def from_event(self, event: Any) -> bytes:
        """Return the frames for an event; empty if it holds nothing for the caller.

        Raises:
            UpstreamFailed: the stop reason reports malformed output.
        """
        if (piece := event.get("contentBlockDelta")) is not None and (text := piece["delta"].get("text")) is not None:
            return self._text_head + json.dumps(text) + _TEXT_END if text else b""
        match event:
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                return self._piece(index, delta)
            case {"contentBlockStart": {"start": start, "contentBlockIndex": index}}:
                return self._block_start(index, start)
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                return self._block_stop(index) if index in self._calls or index in self._reasoning else b""
            case {"messageStart": _}:
                return self._delta({"role": "assistant", "content": ""})
            case {"messageStop": {"stopReason": reason, **more}}:
                self._model_fields = more.get("additionalModelResponseFields")
                if reason in MALFORMED_OUTPUT:
                    raise UpstreamFailed("the model's output was malformed", detail=reason)
                return self._delta({}, finish_reason(reason, has_calls=self._called > 0))
            case {"metadata": {"usage": usage} as metadata} if self._response_context.include_usage:
                tier = {"service_tier": metadata["serviceTier"]["type"]} if "serviceTier" in metadata else {}
                body = json.dumps({"choices": [], "usage": usage_body(Usage.of(usage, self._model_fields)), **tier})
                return data_frame(self._usage_head + body[1:])
        return b""

    def finish(self) -> bytes:
        """Return the end of a stream that succeeded."""
        return _DONE

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed: the error, and no `[DONE]`."""
        return data_frame(error_body(error))

    def _delta(self, delta: JsonObject, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._head + json.dumps([choice]) + b"}\n\n"

    def _block_start(self, index: int, start: JsonObject) -> bytes:
        match start:
            case {"image": image}:
                self._images[index] = image["format"]
            case {"toolUse": tool} if tool.get("type") != "server_tool_use":
                is_custom = tool["name"] in self._response_context.custom_tools
                call = self._calls[index] = _Call(self._called, is_custom=is_custom)
                self._called += 1
                named = {"name": tool["name"], "input" if is_custom else "arguments": ""}
                kind = "custom" if is_custom else "function"
                begun = {"index": call.number, "id": tool["toolUseId"], "type": kind, kind: named}
                return self._delta({"tool_calls": [begun]})
        return b""

    def _piece(self, index: int, delta: JsonObject) -> bytes:
        """Return the frame for a delta that is not text."""
        match delta:
            case {"toolUse": {"input": piece}}:
                return self._call_piece(index, piece)
            case {"reasoningContent": piece}:
                return self._reasoning_piece(index, piece)
            case {"citation": citation}:
                return self._entry("citations", citation)
            case {"image": {"source": source}}:
                return self._entry("images", image_part(self._images.get(index, "png"), source))
        return b""

    def _call_piece(self, index: int, piece: str) -> bytes:
        call = self._calls.get(index)
        if call is None or not piece:
            return b""
        call.pieces.append(piece)
        return b"" if call.is_custom else self._arguments(call, piece)

    def _reasoning_piece(self, index: int, piece: dict[str, str]) -> bytes:
        if "redactedContent" in piece:
            return self._entry("thinking_blocks", {"type": "redacted_thinking", "data": piece["redactedContent"]})
        reasoning = self._reasoning[index]
        for member, value in piece.items():
            reasoning[member].write(value)
        text = piece.get("text")
        return self._delta({"reasoning_content": text, "reasoning": text}) if text else b""

    def _block_stop(self, index: int) -> bytes:
        call, pieces = self._calls.pop(index, None), self._reasoning.pop(index, None)
        frames = b""
        if call is not None and call.is_custom:
            text = custom_input("".join(call.pieces))
            frames = self._delta({"tool_calls": [{"index": call.number, "custom": {"input": text}}]})
        elif call is not None and not call.pieces:
            frames = self._arguments(call, "{}")
        if pieces is not None:
            reasoning = {member: text.getvalue() for member, text in pieces.items()}
            block = {"type": "thinking", "thinking": reasoning.get("text", ""), "signature": reasoning.get("signature")}
            frames += self._entry("thinking_blocks", block)
        return frames

    def _entry(self, name: str, entry: JsonObject) -> bytes:
        """Return the frame for one more entry of a list. The openai package requires an index in every entry."""
        index = self._listed.get(name, 0)
        self._listed[name] = index + 1
        return self._delta({name: [{"index": index, **entry}]})

    def _arguments(self, call: "_Call", piece: str) -> bytes:
        return self._delta({"tool_calls": [{"index": call.number, "function": {"arguments": piece}}]})


class _Call:
    """An unfinished call. OpenAI numbers calls from 0 without gaps; Converse numbers all blocks."""

    __slots__ = ("is_custom", "number", "pieces")

    def __init__(self, number: int, *, is_custom: bool) -> None:
        self.number = number
        self.is_custom = is_custom
        self.pieces: list[str] = []
