"""Translates a stream of Converse to events of a response, in the order that OpenAI's SDK and Codex require.

Source: docs/reference/contracts/openai-responses.md#event-order
"""

from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Generator, Iterable
from io import StringIO
from typing import Any

from app.converse.events import Event
from app.converse.reply import MALFORMED_OUTPUT
from app.converse.request import ServiceTier
from app.converse.usage import Usage
from app.dialects.openai.common.errors import type_and_code_of
from app.dialects.openai.responses.response_context import (
    IMAGE,
    INCOMPLETE,
    ResponseContext,
    annotation,
    image_item,
    message_item,
    new_item_id,
    text_part,
)
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject
from app.wire.sse import named_frame

# the frames that end an item; returns the item
Closing = Generator[bytes, None, JsonObject]


class ResponseStream:
    """Translates one stream."""

    def __init__(self, response_context: ResponseContext) -> None:
        self._response_context = response_context
        self._number = 0
        self._open: dict[int, _Item] = {}
        self._output: dict[int, JsonObject] = {}
        self._begun_items = 0
        self._stop = ""
        self._usage: JsonObject | None = None
        self._tier: ServiceTier | None = None
        self._model_fields: Any = None
        self._closing: _Item | None = None

    def from_event(self, event: Event) -> bytes:
        """Return the frames for an event; empty if it holds nothing for the caller."""
        return b"".join(self._frames(event))

    def ended(self) -> JsonObject:
        """Return the response object at the end of the stream; without a usage of Converse's its counts are 0.

        Raises:
            UpstreamFailed: the stop reason is missing, or reports malformed output.
        """
        if not self._stop or self._stop in MALFORMED_OUTPUT:
            raise UpstreamFailed("the model's output was malformed", detail=self._stop)
        return self._response_context.ended(
            self._stop, self._in_order(), Usage.of(self._usage, self._model_fields), self._tier
        )

    def last(self, response: JsonObject) -> bytes:
        """Return the frame that ends a stream that succeeded."""
        return self._event(f"response.{response['status']}", response=response)

    def fail(self, error: GatewayError) -> bytes:
        """Return the end of a stream that failed."""
        detail = {"code": type_and_code_of(error)[1] or "server_error", "message": error.message}
        # the status of the last item is unknown
        closing = [*self._close("incomplete")]
        for index in [index for index, item in self._open.items() if item.kind == "message"]:
            self._closing = self._ended(index)
            closing += self._close("incomplete")
        response = {**self._response_context.response("failed", output=self._in_order(), error=detail), "store": False}
        return b"".join((*closing, self._event("response.failed", response=response)))

    def _in_order(self) -> list[JsonObject]:
        return [self._output[index] for index in sorted(self._output)]

    def _event(self, kind: str, **members: object) -> bytes:
        payload = json.dumps({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        return named_frame(kind, payload)

    def _frames(self, event: Any) -> Iterable[bytes]:
        match event:
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                yield from self._delta(index, delta)
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                if tool.get("type") != "server_tool_use":
                    kind = (
                        "custom_tool_call" if tool["name"] in self._response_context.custom_tools else "function_call"
                    )
                    yield from self._begin(index, _Item(kind, new_item_id(kind), tool["toolUseId"], tool["name"]))
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                if index in self._open:
                    yield from self._close("completed")
                    self._closing = self._ended(index)
            case {"messageStart": _}:
                response = self._response_context.response("in_progress")
                yield self._event("response.created", response=response)
                yield self._event("response.in_progress", response=response)
            case {"messageStop": {"stopReason": reason, **more}}:
                self._stop, self._model_fields = reason, more.get("additionalModelResponseFields")
                if reason in MALFORMED_OUTPUT:
                    self._closing = None
                    return
                yield from self._close("incomplete" if reason in INCOMPLETE else "completed")
            case {"metadata": {"usage": usage} as metadata}:
                self._usage = usage
                self._tier = metadata.get("serviceTier")

    def _delta(self, index: int, delta: JsonObject) -> Iterable[bytes]:
        match delta:
            case {"text": text}:
                if text:
                    item = yield from self._begun(index, "message")
                    item.say(text)
                    yield self._piece("response.output_text.delta", item, delta=text, content_index=0, logprobs=[])
            case {"citation": citation}:
                item = yield from self._begun(index, "message")
                item.citations.append(citation)
            case {"image": {"source": {"bytes": image}}}:
                item = yield from self._begun(index, IMAGE)
                item.pieces.append(image)
            case {"toolUse": {"input": piece}} if piece and index in self._open:
                item = self._open[index]
                item.pieces.append(piece)
                if item.kind == "function_call":
                    yield self._piece("response.function_call_arguments.delta", item, delta=piece)
            case {"reasoningContent": reasoning}:
                item = yield from self._begun(index, "reasoning")
                for member, value in reasoning.items():
                    item.reasoning[member].write(value)
                if text := reasoning.get("text"):
                    yield from self._reasoning_piece(item, text)

    def _reasoning_piece(self, item: "_Item", text: str) -> Iterable[bytes]:
        if not item.pieces:
            part = {"type": "summary_text", "text": ""}
            yield self._piece("response.reasoning_summary_part.added", item, summary_index=0, part=part)
        item.pieces.append(text)
        yield self._piece("response.reasoning_summary_text.delta", item, summary_index=0, delta=text)

    def _begun(self, index: int, kind: str) -> Any:
        """Return the item of a block, and begin a new one. Consecutive blocks of text are one message."""
        if index not in self._open:
            if kind == "message" and self._closing is not None and self._closing.kind == kind:
                self._open[index], self._closing = self._closing, None
            else:
                yield from self._begin(index, _Item(kind, new_item_id(kind)))
        return self._open[index]

    def _ended(self, index: int) -> "_Item":
        item = self._open.pop(index)
        item.end_block()
        return item

    def _begin(self, index: int, item: "_Item") -> Iterable[bytes]:
        yield from self._close("completed")
        item.index = self._begun_items
        self._begun_items += 1
        self._open[index] = item
        if item.kind == "message":
            begun = {**message_item(item.id, "", [], "in_progress"), "content": []}
        elif item.kind == "reasoning":
            begun = {"id": item.id, "type": "reasoning", "summary": []}
        elif item.kind == IMAGE:
            begun = image_item(item.id, None, "in_progress")
        else:
            begun = self._response_context.call_item(item.id, item.call_id, item.name, "", "in_progress")
        yield self._event("response.output_item.added", output_index=item.index, item=begun)
        if item.kind == "message":
            yield self._piece("response.content_part.added", item, content_index=0, part=text_part("", []))

    def _close(self, status: str) -> Iterable[bytes]:
        """Yield the end of the item whose block has ended. Its status depends on the next event."""
        item, self._closing = self._closing, None
        if item is None:
            return
        match item.kind:
            case "message":
                done = yield from self._close_message(item, status)
            case "reasoning":
                done = yield from self._close_reasoning(item)
            case kind if kind == IMAGE:
                # each piece is complete in its own base64
                image = b64encode(b"".join(map(b64decode, item.pieces))).decode()
                done = image_item(item.id, image, "completed")
            case _:
                done = yield from self._close_call(item, status)
        self._output[item.index] = done
        yield self._event("response.output_item.done", output_index=item.index, item=done)

    def _close_message(self, item: "_Item", status: str) -> Closing:
        text = "".join(item.pieces)
        yield self._piece("response.output_text.done", item, content_index=0, text=text, logprobs=[])
        part = text_part(text, item.annotations)
        yield self._piece("response.content_part.done", item, content_index=0, part=part)
        return message_item(item.id, text, item.annotations, status)

    def _close_reasoning(self, item: "_Item") -> Closing:
        if item.pieces:
            text = "".join(item.pieces)
            part = {"type": "summary_text", "text": text}
            yield self._piece("response.reasoning_summary_text.done", item, summary_index=0, text=text)
            yield self._piece("response.reasoning_summary_part.done", item, summary_index=0, part=part)
        return self._response_context.reasoning_item(item.id, item.block())

    def _close_call(self, item: "_Item", status: str) -> Closing:
        text = "".join(item.pieces)
        done = self._response_context.call_item(item.id, item.call_id, item.name, text or "{}", status)
        if item.kind == "function_call":
            if not text:
                yield self._piece("response.function_call_arguments.delta", item, delta="{}")
            members = {"arguments": done["arguments"], "name": done["name"]}
            yield self._piece("response.function_call_arguments.done", item, **members)
        else:
            yield self._piece("response.custom_tool_call_input.delta", item, delta=done["input"])
            yield self._piece("response.custom_tool_call_input.done", item, input=done["input"])
        return done

    def _piece(self, kind: str, item: "_Item", **members: object) -> bytes:
        return self._event(kind, item_id=item.id, output_index=item.index, **members)


class _Item:
    """An unfinished item."""

    __slots__ = (
        "annotations",
        "call_id",
        "citations",
        "id",
        "index",
        "kind",
        "length",
        "name",
        "pieces",
        "reasoning",
        "start",
    )  # fmt: skip

    def __init__(self, kind: str, item_id: str, call_id: str = "", name: str = "") -> None:
        self.kind = kind
        self.id = item_id
        self.call_id = call_id
        self.name = name
        self.index = 0
        self.pieces: list[str] = []
        self.citations: list[JsonObject] = []
        self.annotations: list[JsonObject] = []
        self.start = 0
        self.length = 0
        self.reasoning: defaultdict[str, StringIO] = defaultdict(StringIO)

    def say(self, text: str) -> None:
        """Add a piece of text."""
        self.pieces.append(text)
        self.length += len(text)

    def end_block(self) -> None:
        """End a block: its citations refer to the text that it added."""
        made = (annotation(citation, self.start, self.length) for citation in self.citations)
        self.annotations += [each for each in made if each is not None]
        self.citations, self.start = [], self.length

    def block(self) -> Any:
        """Return the reasoning as Converse's block."""
        reasoning = {member: text.getvalue() for member, text in self.reasoning.items()}
        if "redactedContent" in reasoning:
            return {"redactedContent": reasoning["redactedContent"]}
        return {"reasoningText": {"text": "", **reasoning}}
