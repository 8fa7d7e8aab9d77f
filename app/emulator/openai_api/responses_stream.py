"""Converse events, converted to the stream events of Responses or to a complete response."""

import uuid
from collections.abc import AsyncIterator, Iterator

from app.converse.events import ContentBlockDelta, Event, ToolUseBlockStart
from app.converse.reply import TokenUsage
from app.emulator.openai_api.response_items import OutputItem
from app.emulator.openai_api.response_members import new_response
from app.emulator.openai_api.shapes import CREATED, is_gpt_oss, openai_usage
from app.wire.json import JsonObject


async def to_responses(events: AsyncIterator[Event], body: JsonObject) -> AsyncIterator[JsonObject]:
    """Convert a stream; its last event holds the complete response."""
    stream = _ResponseStream(body)
    async for event in events:
        for converted in stream.convert(event):
            yield converted


async def gather_response(documents: AsyncIterator[JsonObject]) -> JsonObject:
    """The complete response of a stream of events."""
    last: JsonObject = {}
    async for document in documents:
        last = document
    response: JsonObject = last["response"]
    return response


class _ResponseStream:
    """The state of one response.

    Args:
        body: the request.
    """

    def __init__(self, body: JsonObject) -> None:
        self._digest = uuid.uuid4().hex * 2
        self._with_encrypted_content = "reasoning.encrypted_content" in (body.get("include") or ())
        self._custom_tools = {tool["name"] for tool in body.get("tools") or () if tool.get("type") == "custom"}
        self._sequence_number = self._calls = 0
        self._items: dict[int, OutputItem] = {}
        self._output: list[JsonObject] = []
        self._stop_reason = ""
        # it shows its reasoning, and its responses have fewer members (recording gpt_oss_responses)
        self._shows_reasoning = is_gpt_oss(body)
        self._is_full = not self._shows_reasoning
        self._response = new_response(f"resp_{self._digest[:52]}", body, is_full=self._is_full)

    def convert(self, event: Event) -> Iterator[JsonObject]:
        """Yield the events for one of Converse's."""
        match event:
            case {"messageStart": _}:
                yield self._event("response.created", response=self._response)
                yield self._event("response.in_progress", response=self._response)
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                yield self._start_call(index, tool)
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                yield from self._delta(delta, index)
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                yield from self._end_item(self._items[index], index)
            case {"messageStop": {"stopReason": reason}}:
                self._stop_reason = reason
            case {"metadata": {"usage": usage}}:
                yield self._end(usage)

    def _event(self, kind: str, **members: object) -> JsonObject:
        event = {**members, "sequence_number": self._sequence_number, "type": kind}
        self._sequence_number += 1
        return event

    def _start_item(self, index: int, prefix: str, kind: str, **call: str) -> JsonObject:
        item = OutputItem(f"{prefix}_{self._digest[:24]}{index:08d}", kind, call, is_shown=self._shows_reasoning)
        self._items[index] = item
        return self._event("response.output_item.added", output_index=index, item=item.render(is_complete=False))

    def _start_call(self, index: int, tool: ToolUseBlockStart) -> JsonObject:
        kind = "custom_tool_call" if tool["name"] in self._custom_tools else "function_call"
        call_id = f"call_{self._calls}"
        self._calls += 1
        return self._start_item(index, "fc", kind, call_id=call_id, name=tool["name"])

    def _delta(self, delta: ContentBlockDelta, index: int) -> Iterator[JsonObject]:
        match delta:
            case {"toolUse": {"input": piece}}:
                item = self._items[index]
                item.pieces.append(piece)
                if piece and item.type == "function_call":
                    position = self._position(index)
                    yield self._event("response.function_call_arguments.delta", **position, delta=piece)
            case {"reasoningContent": reasoning}:
                if index not in self._items:
                    yield self._start_item(index, "rs", "reasoning")
                kept = self._items[index].reasoning
                for name, value in reasoning.items():
                    kept[name] = kept.get(name, "") + str(value)
                if self._shows_reasoning and "text" in reasoning:
                    position = self._part_position(index)
                    yield self._event("response.reasoning_text.delta", **position, delta=reasoning["text"])
            case {"text": text}:
                if index not in self._items:
                    yield self._start_item(index, "msg", "message")
                    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
                    yield self._event("response.content_part.added", **self._part_position(index), part=part)
                self._items[index].pieces.append(text)
                yield self._event("response.output_text.delta", **self._part_position(index), delta=text, logprobs=[])

    def _position(self, index: int) -> JsonObject:
        return {"item_id": self._items[index].id, "output_index": index}

    def _part_position(self, index: int) -> JsonObject:
        return {**self._position(index), "content_index": 0}

    def _end_item(self, item: OutputItem, index: int) -> Iterator[JsonObject]:
        rendered = item.render(is_complete=True, with_encrypted_content=self._with_encrypted_content)
        if item.type == "message":
            (part,) = rendered["content"]
            position = self._part_position(index)
            yield self._event("response.output_text.done", **position, text=part["text"], logprobs=[])
            yield self._event("response.content_part.done", **position, part=part)
        elif item.type == "function_call":
            said = {"arguments": rendered["arguments"], "name": item.call["name"]}
            yield self._event("response.function_call_arguments.done", **self._position(index), **said)
        elif item.type == "reasoning" and item.is_shown:
            text = rendered["content"][0]["text"]
            yield self._event("response.reasoning_text.done", **self._part_position(index), text=text)
        self._output.append(rendered)
        yield self._event("response.output_item.done", output_index=index, item=rendered)

    def _end(self, usage: TokenUsage) -> JsonObject:
        is_cut = self._stop_reason == "max_tokens"
        response = {
            **self._response,
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": self._output,
            "usage": openai_usage(usage, "input", "output"),
        }
        if self._is_full:
            response["completed_at"] = None if is_cut else CREATED + 1
        return self._event("response.incomplete" if is_cut else "response.completed", response=response)
