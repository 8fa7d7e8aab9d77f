"""Streams of events as translators may rely on them, whatever a model's runtime leaves out or splits."""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import cast

from app.converse.events import ContentBlockDelta, ContentBlockDeltaEvent, Event


class WellFormed:
    """Puts one stream right.

    A block has ended before its message has, once: some models tell only of the latter, and what waits for a block's
    end would be lost (pi#8314, opencode#38712). Encrypted thoughts come in one piece (inspect_ai#5299). Tokens are told
    behind the end of the message, and metadata without any, which some send besides, not at all.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[str]] = {}
        self._newest: int | None = None
        self._has_stopped = False
        self._early: list[Event] = []

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The next events, as far as they can be told."""
        told: list[Event] = []
        for event in events:
            if (delta := event.get("contentBlockDelta")) is not None:
                if self._is_told(delta):
                    told.append(event)
            elif (start := event.get("contentBlockStart")) is not None:
                self._open.setdefault(start["contentBlockIndex"], [])
                told.append(event)
            elif (stop := event.get("contentBlockStop")) is not None:
                told += self._end(stop["contentBlockIndex"])
            elif "messageStop" in event:
                for index in [*self._open]:
                    told += self._end(index)
                told += event, *self._early
                self._has_stopped, self._early = True, []
            elif (metadata := event.get("metadata")) is None:
                told.append(event)
            elif metadata.get("usage") is not None:
                (told if self._has_stopped else self._early).append(event)
        return told

    def _is_told(self, delta: ContentBlockDeltaEvent) -> bool:
        index = delta["contentBlockIndex"]
        if index != self._newest and not self._is_begun(index, delta["delta"]):
            return False
        return "reasoningContent" not in delta["delta"] or not self._is_held(delta)

    def _is_begun(self, index: int, delta: ContentBlockDelta) -> bool:
        """True if a block is open. Only calls have a beginning of their own: a late piece of one belongs nowhere."""
        if index not in self._open:
            if "toolUse" in delta:
                return False
            self._open[index] = []
        self._newest = index
        return True

    def _is_held(self, delta: ContentBlockDeltaEvent) -> bool:
        match delta["delta"]:
            case {"reasoningContent": {"redactedContent": str(piece)}}:
                self._open[delta["contentBlockIndex"]].append(piece)
                return True
        return False

    def _end(self, index: int) -> Iterable[Event]:
        self._newest = None
        pieces = self._open.pop(index, None)
        if pieces is None:
            return
        if pieces:
            reasoning = {"reasoningContent": {"redactedContent": _joined(pieces)}}
            yield cast(Event, {"contentBlockDelta": {"delta": reasoning, "contentBlockIndex": index}})
        yield {"contentBlockStop": {"contentBlockIndex": index}}


def _joined(pieces: list[str]) -> str:
    """One text in base64 for several, each of which is whole in its own."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except ValueError:
        return "".join(pieces)
