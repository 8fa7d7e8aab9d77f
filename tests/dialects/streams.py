"""Replies to draw, their events in batches, and what a stream translator writes of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from app.wire import json

Item = TypeVar("Item")

TEXTS = st.text(max_size=8)
# content blocks of a reply of Converse
BLOCKS = st.one_of(
    st.builds(lambda text: {"text": text}, TEXTS),
    st.builds(lambda text: {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": text}}}, TEXTS),
    st.builds(lambda text: {"reasoningContent": {"reasoningText": {"text": text, "signature": "s"}}}, TEXTS),
)


def joined(translate: Callable[[Item], bytes], items: Iterable[Item]) -> bytes:
    """Return the frames of all items."""
    return b"".join(map(translate, items))


def joined_in_batches(translate: Callable[[Item], bytes], items: Sequence[Item], data: st.DataObject) -> bytes:
    """Return the frames of all items, which are translated in batches that are drawn."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(items)), max_size=5)))
    return b"".join(
        joined(translate, items[start:end]) for start, end in zip([0, *cuts], [*cuts, len(items)], strict=True)
    )


def named_events(data: bytes) -> list[Any]:
    """Return the documents of server-sent events, each of which has its type as the name of its event."""
    events = []
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, payload = frame.split("\n")
        event = json.loads(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events
