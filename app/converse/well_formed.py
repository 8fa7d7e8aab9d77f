"""Completes streams of events: adds what a model's runtime leaves out, and joins what it splits."""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from app.converse.events import ContentBlockDelta, ContentBlockDeltaEvent, Event


class WellFormed(Struct):
    """Completes one stream.

    - Each block ends once, before its message ends. Some models send only the latter (pi#8314, opencode#38712).
    - Encrypted reasoning is one delta (inspect_ai#5299).
    - Metadata follows the end of the message. Metadata without tokens, which some models send besides, is dropped.
    """

    _open: dict[int, list[str]] = {}
    _newest: int | None = None
    _has_stopped: bool = False
    _early: list[Event] = []

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Return the events that are complete."""
        complete: list[Event] = []
        for event in events:
            if (delta := event.get("contentBlockDelta")) is not None:
                piece = delta["delta"]
                if delta["contentBlockIndex"] != self._newest and not self._begin(delta["contentBlockIndex"], piece):
                    continue
                if "reasoningContent" not in piece or not self._is_held(delta):
                    complete.append(event)
            elif (start := event.get("contentBlockStart")) is not None:
                self._open.setdefault(start["contentBlockIndex"], [])
                complete.append(event)
            elif (stop := event.get("contentBlockStop")) is not None:
                complete += self._end(stop["contentBlockIndex"])
            elif "messageStop" in event:
                for index in [*self._open]:
                    complete += self._end(index)
                complete += event, *self._early
                self._has_stopped, self._early = True, []
            elif (metadata := event.get("metadata")) is None:
                complete.append(event)
            elif metadata.get("usage") is not None:
                (complete if self._has_stopped else self._early).append(event)
        return complete

    def _begin(self, index: int, delta: ContentBlockDelta) -> bool:
        """Open a block, unless it is open. A tool call opens only with its start: a later piece of it is dropped."""
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
    """Join texts in base64, each of which is complete."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except ValueError:
        return "".join(pieces)
