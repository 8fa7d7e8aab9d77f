"""What adaptation changed comes back here as the caller expects it, in events and in replies alike."""

from collections.abc import Iterable
from typing import Any, cast

from msgspec import Struct, field

from app.converse.events import Event
from app.converse.fold import fold, unfold
from app.converse.reply import Reply


class ResponseMapping(Struct):
    """How to give a reply back in the caller's terms.

    tool_names: the caller's name of a tool, by the name that was sent. document_names: that of a document likewise.
    answer_tool: the tool that was forced to carry a structured answer: its input becomes the reply's text, in
        the place of what the model said before it.
    drop_tool_calls: the caller forbade calls, but the tools had to stay declared.
    first_tool_only: the caller wants one call, and the model cannot be told so.
    """

    tool_names: dict[str, str] = field(default_factory=dict)
    document_names: dict[str, str] = field(default_factory=dict)
    answer_tool: str = ""
    drop_tool_calls: bool = False
    first_tool_only: bool = False

    @property
    def is_needed(self) -> bool:
        """False if replies are right as they come."""
        changes = self.tool_names, self.document_names, self.answer_tool, self.drop_tool_calls, self.first_tool_only
        return any(changes)

    def reply(self, reply: Reply) -> Reply:
        """The reply in the caller's terms."""
        return fold(EventMapping(self).feed(unfold(reply))) if self.is_needed else reply


class EventMapping:
    """Undoes one stream, event by event."""

    def __init__(self, mapping: ResponseMapping) -> None:
        self._mapping = mapping
        self._answer_block = -1
        self._has_answered = False
        self._dropped_blocks: set[int] = set()
        self._calls = 0
        # text beside a forced answer: a preamble if the answer comes, the answer itself if it does not
        self._held: list[Event] = []
        self._held_blocks: set[int] = set()

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events in the caller's terms. Some vanish; only text beside a forced answer is held back."""
        return [restored for event in events for restored in self._restored(self._with_own_title(event))]

    def _with_own_title(self, event: Event) -> Event:
        """A citation of a document by the name that the caller gave it."""
        match cast(dict[str, Any], event):
            case {"contentBlockDelta": {"delta": {"citation": {"title": str(title)} as citation}} as delta} if (
                title in self._mapping.document_names
            ):
                named = {**citation, "title": self._mapping.document_names[title]}
                return cast(Event, {"contentBlockDelta": {**delta, "delta": {"citation": named}}})
        return event

    def _restored(self, event: Event) -> list[Event]:
        match cast(dict[str, Any], event):
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
                # an input of nothing at all comes in no piece
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

    def _start_of_call(self, tool: dict[str, Any], index: int, start: dict[str, Any]) -> list[Event]:
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
