"""Frames of the event stream."""

import json

from app.emulator.stream_writers import FrameWriter
from app.wire.eventstream import FrameDecoder


def test_an_event_has_the_recorded_headers_and_padding() -> None:
    (frame,) = FrameDecoder().feed(
        FrameWriter(b"seed").event("contentBlockDelta", {"delta": {"text": "ü"}, "contentBlockIndex": 0})
    )
    assert list(frame.headers.items()) == [
        (":event-type", "contentBlockDelta"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ]
    assert frame.payload.startswith('{"contentBlockIndex":0,"delta":{"text":"ü"},"p":"abc'.encode()[:49])
    padding = json.loads(frame.payload)["p"]
    assert 2 <= len(padding) <= 61
    assert FrameWriter(b"seed").event("a", {}) == FrameWriter(b"seed").event("a", {})
