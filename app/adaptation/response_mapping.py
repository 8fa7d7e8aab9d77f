"""Restores the caller's names and shapes in replies and events."""

from collections.abc import Iterable
from typing import cast

from msgspec import Struct, field

from app.converse.events import Event
from app.converse.fold import fold, unfold
from app.converse.reply import Reply
from app.wire.json import JsonObject


class ResponseMapping(Struct):
    """What to restore in a reply.

    tool_names: the caller's name of a tool, by the name that was sent.
    document_names: the caller's name of a document, by the name that was sent.
    answer_tool: the tool that was forced to carry a structured answer. Its input replaces the text of the reply.
    drop_tool_calls: the caller forbade calls, but the tools had to stay declared.
    first_tool_only: the caller wants one call, and the model has no parameter for that.
    """

    tool_names: dict[str, str] = field(default_factory=dict)
    document_names: dict[str, str] = field(default_factory=dict)
    answer_tool: str = ""
    drop_tool_calls: bool = False
    first_tool_only: bool = False

    def reply(self, reply: Reply) -> Reply:
        """Return the reply with the caller's names and shapes."""
        return reply if self == NO_MAPPING else fold(EventMapping(self).feed(unfold(reply)))


NO_MAPPING = ResponseMapping()


class EventMapping:
    """Maps the events of one stream."""

    def __init__(self, mapping: ResponseMapping) -> None:
        self._mapping = mapping
        self._answer_block = -1
        self._has_answered = False
        self._dropped_blocks: set[int] = set()
        self._calls = 0
        # text beside a forced answer: a preamble if the answer follows, otherwise the answer itself
        self._held: list[Event] = []
        self._held_blocks: set[int] = set()

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Return the events with the caller's names and shapes. Only text beside a forced answer is delayed."""
        return [restored for event in events for restored in self._restored(self._with_callers_title(event))]

    def _with_callers_title(self, event: Event) -> Event:
        match cast(JsonObject, event):
            case {"contentBlockDelta": {"delta": {"citation": {"title": str(title)} as citation}} as delta} if (
                title in self._mapping.document_names
            ):
                named = {**citation, "title": self._mapping.document_names[title]}
                return cast(Event, {"contentBlockDelta": {**delta, "delta": {"citation": named}}})
        return event

    def _restored(self, event: Event) -> list[Event]:
        match cast(JsonObject, event):
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index} as start}:
                return self._start_of_call(tool, index, start)
            case {"contentBlockDelta": {"contentBlockIndex": index}} if index in self._dropped_blocks:
                return []
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in self._dropped_blocks:
                return []
            case {"contentBlockDelta": {"delta": {"text": _} | {"citation": _}, "contentBlockIndex": index}} if (
                self._mapping.answer_tool
            ):
                self._held_blocks.add(index)
                return self._hold(event)
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in self._held_blocks:
                return self._hold(event)
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": index}} if (
                index == self._answer_block
            ):
                self._has_answered = self._has_answered or piece != ""
                return [{"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": index}}]
            case {"contentBlockStop": {"contentBlockIndex": index}} if (
                index == self._answer_block and not self._has_answered
            ):
                # an empty input has no delta
                return [{"contentBlockDelta": {"delta": {"text": "{}"}, "contentBlockIndex": index}}, event]
            case {"messageStop": stop}:
                held, self._held = self._held, []
                if stop.get("stopReason") == "tool_use" and self._calls == 0:
                    stop = {**stop, "stopReason": "end_turn"}
                return [*held, cast(Event, {"messageStop": stop})]
        return [event]

    def _hold(self, event: Event) -> list[Event]:
        if self._answer_block < 0:
            self._held.append(event)
        return []

    def _start_of_call(self, tool: JsonObject, index: int, start: JsonObject) -> list[Event]:
        if tool.get("type") == "server_tool_use":
            return [cast(Event, {"contentBlockStart": start})]
        is_answer = tool["name"] == self._mapping.answer_tool
        if is_answer and self._answer_block < 0:
            self._answer_block = index
            self._held = []
            return []
        if is_answer or self._mapping.drop_tool_calls or (self._mapping.first_tool_only and self._calls):
            self._dropped_blocks.add(index)
            return []
        self._calls += 1
        named = {**tool, "name": self._mapping.tool_names.get(tool["name"], tool["name"])}
        return [cast(Event, {"contentBlockStart": {**start, "start": {"toolUse": named}}})]
