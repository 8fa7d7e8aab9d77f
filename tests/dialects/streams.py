"""Applies a stream translator to several events, and reads what it wrote."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from app.wire import json

Item = TypeVar("Item")


def joined(translate: Callable[[Item], bytes], items: Iterable[Item]) -> bytes:
    """Return the frames of all items."""
    return b"".join(map(translate, items))


def named_events(data: bytes) -> list[Any]:
    """Return the documents of server-sent events, each of which has its type as the name of its event."""
    events = []
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, payload = frame.split("\n")
        event = json.loads(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events
