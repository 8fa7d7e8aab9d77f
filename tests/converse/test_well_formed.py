"""Incomplete streams are completed, and complete streams are unchanged."""

import base64
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.fold import fold
from app.converse.well_formed import WellFormed

BEGUN: Any = {"messageStart": {"role": "assistant"}}
STOPPED: Any = {"messageStop": {"stopReason": "end_turn"}}
TOLD: Any = {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}}
CALL: Any = {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}}


def delta(index: int, **said: Any) -> Any:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": said}}


def redacted(index: int, data: bytes) -> Any:
    return delta(index, reasoningContent={"redactedContent": base64.b64encode(data).decode()})


def end(index: int) -> Any:
    return {"contentBlockStop": {"contentBlockIndex": index}}


WHOLE = [
    BEGUN,
    delta(0, text="a"),
    delta(0, text="b"),
    end(0),
    CALL,
    delta(1, toolUse={"input": "{}"}),
    end(1),
    STOPPED,
]


@given(st.lists(st.integers(0, 9)))
def test_a_complete_stream_is_unchanged(cuts: list[int]) -> None:
    events, well_formed, told = [*WHOLE, TOLD], WellFormed(), []
    edges = [0, *sorted(cuts), len(events)]
    for begin, stop in pairwise(edges):
        told += well_formed.feed(events[begin:stop])
    assert told == events


@pytest.mark.parametrize("left_open", [{0}, {1}, {0, 1}])
def test_open_blocks_end_before_their_message(left_open: set[int]) -> None:
    events = [event for event in WHOLE if not any(event == end(index) for index in left_open)]
    told = WellFormed().feed([*events, TOLD])
    assert sorted(map(str, told)) == sorted(map(str, [*WHOLE, TOLD]))
    assert told[-2:] == [STOPPED, TOLD]
    assert fold(told)["output"]["message"]["content"] == [
        {"text": "ab"},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
    ]


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("pieces", [[b"whole"], [b"a", b"bcd", b"efghi"]])
def test_encrypted_reasoning_is_joined_into_one_delta(pieces: list[bytes], ends: bool) -> None:
    events = [
        BEGUN,
        *(redacted(0, piece) for piece in pieces),
        *([end(0)] if ends else []),
        delta(1, text="x"),
        STOPPED,
    ]
    told = WellFormed().feed(events)
    assert told.count(redacted(0, b"".join(pieces))) == 1
    assert told.index(redacted(0, b"".join(pieces))) + 1 == told.index(end(0))
    assert told[-1] == STOPPED


def test_metadata_with_tokens_comes_last_and_other_metadata_is_dropped() -> None:
    empty: list[Any] = [{"metadata": {"metrics": {"latencyMs": 1}}}, {"metadata": {"usage": None}}]
    assert WellFormed().feed([BEGUN, *empty, TOLD, STOPPED, *empty]) == [BEGUN, STOPPED, TOLD]
    assert WellFormed().feed([BEGUN, STOPPED, empty[0], TOLD]) == [BEGUN, STOPPED, TOLD]


def test_a_stop_without_a_block_is_dropped_and_unknown_events_are_kept() -> None:
    unknown: Any = {"somethingNew": {}}
    assert WellFormed().feed([end(3), unknown]) == [unknown]


def test_deltas_after_the_end_of_a_call_are_dropped() -> None:
    late = delta(1, toolUse={"input": ""})
    assert WellFormed().feed([*WHOLE[:-1], late, end(1), end(1), STOPPED]) == WHOLE
    # only tool calls have a start event
    again = delta(0, text="c")
    assert WellFormed().feed([*WHOLE[:-1], again, STOPPED]) == [*WHOLE[:-1], again, end(0), STOPPED]


@pytest.mark.parametrize("reasoning", [None, 5, {}, {"redactedContent": 5}, {"text": "t"}])
def test_malformed_reasoning_is_unchanged(reasoning: Any) -> None:
    odd = delta(0, reasoningContent=reasoning)
    assert WellFormed().feed([BEGUN, odd, STOPPED]) == [BEGUN, odd, end(0), STOPPED]


def test_deltas_that_are_no_base64_are_joined_as_text() -> None:
    pieces = [delta(0, reasoningContent={"redactedContent": piece}) for piece in ("a", "b")]
    whole = delta(0, reasoningContent={"redactedContent": "ab"})
    assert WellFormed().feed([*pieces, STOPPED]) == [whole, end(0), STOPPED]
