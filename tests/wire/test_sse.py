from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire import sse


def test_frames_of_server_sent_events() -> None:
    assert sse.data_frame(b"{}") == b"data: {}\n\n"


EVENTS = b': hello\n\ndata: {"a":1}\nevent: x\n\nevent: y\r\ndata: {"b":\r\ndata:2}\r\n\r\n\n\ndata: [DONE]\n\n'


@given(st.lists(st.integers(0, len(EVENTS)), max_size=8).map(sorted))
def test_events_are_the_same_however_bytes_are_split(cuts: list[int]) -> None:
    parser = sse.SseParser()
    edges = [0, *cuts, len(EVENTS)]
    payloads = [payload for start, end in pairwise(edges) for payload in parser.feed(EVENTS[start:end])]
    assert payloads == [b'{"a":1}', b'{"b":\n2}', b"[DONE]"]


def test_events_arrive_byte_by_byte_and_are_limited_in_size() -> None:
    parser = sse.SseParser()
    assert [payload for byte in EVENTS for payload in parser.feed(bytes([byte]))][2] == b"[DONE]"
    parser = sse.SseParser(limit=100)
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(ValueError, match="too large"):
        parser.feed(b"x" * 10)
