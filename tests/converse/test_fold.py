from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.fold import fold, unfold
from app.wire import json

USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
texts = st.text(min_size=1, max_size=10)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
blocks = st.one_of(
    st.builds(lambda text: {"text": text}, texts),
    st.builds(lambda value: {"toolUse": {"toolUseId": "t", "name": "n", "input": value}}, documents),
    st.builds(lambda text: {"reasoningContent": {"reasoningText": {"text": text}}}, texts),
    st.builds(lambda text: {"reasoningContent": {"reasoningText": {"text": text, "signature": "s"}}}, texts),
    st.just({"reasoningContent": {"redactedContent": "AAAA"}}),
    st.just(
        {"toolResult": {"toolUseId": "t", "type": "x", "status": "success", "content": [{"json": {}}, {"text": "a"}]}}
    ),
    st.just({"image": {"format": "png", "source": {"bytes": "AAAA"}}}),
    st.builds(lambda text: {"citationsContent": {"content": [{"text": text}], "citations": [{"title": "t"}]}}, texts),
    st.just({"citationsContent": {"content": [], "citations": [{"title": "t"}]}}),
)


@given(st.lists(blocks, max_size=4))
def test_fold_reverses_unfold(content: list[Any]) -> None:
    reply: Any = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 1},
        "additionalModelResponseFields": {"stop_sequence": "x"},
        "serviceTier": {"type": "default"},
    }
    assert fold(unfold(reply)) == reply


def delta(index: int, value: dict[str, Any]) -> Any:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": value}}


def test_deltas_of_one_block_are_joined_and_blocks_keep_their_order() -> None:
    start = {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}}}
    events: Any = [
        {"messageStart": {"role": "assistant"}},
        start,
        delta(1, {"toolUse": {"input": ""}}),
        delta(1, {"toolUse": {"input": '{"a"'}}),
        delta(0, {"reasoningContent": {"text": "th"}}),
        delta(0, {"reasoningContent": {"text": "ink"}}),
        delta(0, {"reasoningContent": {"signature": "sig"}}),
        delta(1, {"toolUse": {"input": ":1}"}}),
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}},
    ]
    assert fold(events)["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "think", "signature": "sig"}}},
        {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}}},
    ]


def test_an_input_without_deltas_is_empty_and_a_malformed_one_raises() -> None:
    start: Any = {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}}}
    assert fold([start])["output"]["message"]["content"][0]["toolUse"]["input"] == {}
    with pytest.raises(json.JsonError):
        fold([start, delta(0, {"toolUse": {"input": "{"}})])


def test_unknown_events_and_deltas_are_skipped() -> None:
    events: Any = [{"somethingNew": {}}, delta(0, {"somethingNew": 1})]
    assert fold(events)["output"]["message"]["content"] == [{}]
