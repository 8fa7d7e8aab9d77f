"""The small tools: clock, ids and SSE."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit import ids, sse
from app.kit.clock import Deadline, seconds_until


def test_deadline_counts_down() -> None:
    assert 4.5 < Deadline.after(5).remaining() <= 5
    assert Deadline.after(-1).remaining() < 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("", None),
        ("soon", None),
        ("1e999x", None),
        ("1e999", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 01 Jan 99999999999 00:00:10 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert seconds_until(text, now=lambda: 40.0) == seconds


def test_ids_are_fresh_and_safe() -> None:
    assert ids.new_request_id() != ids.new_request_id()
    assert ids.is_request_id(ids.new_request_id())
    assert ids.new_id("chatcmpl-").startswith("chatcmpl-")
    for bad in ("", "a b", "a\nb", "x" * 129, "\N{SNOWMAN}", 'a"b'):
        assert not ids.is_request_id(bad)


def test_sse_frame() -> None:
    assert sse.data_frame(b"{}") == b"data: {}\n\n"


EVENTS = b': hello\n\ndata: {"a":1}\nevent: x\n\nevent: y\r\ndata: {"b":\r\ndata:2}\r\n\r\n\n\ndata: [DONE]\n\n'


@given(st.lists(st.integers(0, len(EVENTS)), max_size=8).map(sorted))
def test_events_are_the_same_however_their_bytes_were_split(cuts: list[int]) -> None:
    parser = sse.SseParser()
    edges = [0, *cuts, len(EVENTS)]
    payloads = [payload for start, end in pairwise(edges) for payload in parser.feed(EVENTS[start:end])]
    assert payloads == [b'{"a":1}', b'{"b":\n2}', b"[DONE]"]


def test_events_byte_by_byte_and_too_large_a_one() -> None:
    parser = sse.SseParser()
    assert [payload for byte in EVENTS for payload in parser.feed(bytes([byte]))][2] == b"[DONE]"
    parser = sse.SseParser(limit=100)
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(ValueError, match="too large"):
        parser.feed(b"x" * 10)
