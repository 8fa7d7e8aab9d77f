"""The caller's names and shapes in replies and events."""

from typing import Any

import pytest

from app.adaptation.response_mapping import EventMapping, ResponseMapping
from tests.adaptation.calls import (
    use,
)

REPLY: Any = {
    "output": {"message": {"role": "assistant", "content": [{"text": "x"}, use("1", "sent"), use("2", "sent")]}},
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


def restored_content(mapping: ResponseMapping) -> Any:
    reply = mapping.reply(REPLY)
    return reply["output"]["message"]["content"], reply["stopReason"]


def test_a_reply_without_changes_is_returned_unchanged() -> None:
    assert ResponseMapping().reply(REPLY) is REPLY


def test_tool_names_are_restored() -> None:
    content, stop = restored_content(ResponseMapping(tool_names={"sent": "the.name"}))
    assert content == [{"text": "x"}, use("1", "the.name"), use("2", "the.name")]
    assert stop == "tool_use"


def test_all_calls_but_the_first_are_dropped() -> None:
    assert restored_content(ResponseMapping(first_tool_only=True)) == ([{"text": "x"}, use("1", "sent")], "tool_use")


def test_forbidden_calls_are_dropped() -> None:
    assert restored_content(ResponseMapping(drop_tool_calls=True)) == ([{"text": "x"}], "end_turn")


@pytest.mark.parametrize("pieces", [[], [""], ["{", "}"]])
def test_an_empty_forced_answer_is_an_empty_object_in_a_stream_too(pieces: list[str]) -> None:
    events: list[Any] = [
        {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "1", "name": "answer"}}, "contentBlockIndex": 0}},
        *({"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 0}} for piece in pieces),
        {"contentBlockStop": {"contentBlockIndex": 0}},
    ]
    restored: Any = EventMapping(ResponseMapping(answer_tool="answer")).feed(events)
    said = [event["contentBlockDelta"]["delta"]["text"] for event in restored if "contentBlockDelta" in event]
    assert "".join(said) == "{}"


def test_the_input_of_the_answer_tool_becomes_text() -> None:
    reply: Any = {
        **REPLY,
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"text": "Here it is: "},
                    {"toolUse": {"toolUseId": "1", "name": "json_answer", "input": {"a": 1}}},
                ],
            }
        },
    }
    restored = ResponseMapping(answer_tool="json_answer").reply(reply)
    assert restored["output"]["message"]["content"] == [{"text": '{"a":1}'}]
    assert restored["stopReason"] == "end_turn"


@pytest.mark.parametrize("stop", ["end_turn", "max_tokens", "guardrail_intervened"])
def test_text_is_kept_where_no_forced_answer_came(stop: str) -> None:
    content = [{"text": '{"a":1}'}]
    reply: Any = {
        **REPLY,
        "stopReason": stop,
        "output": {"message": {"role": "assistant", "content": content}},
    }
    restored = ResponseMapping(answer_tool="json_answer").reply(reply)
    assert (restored["output"]["message"]["content"], restored["stopReason"]) == (content, stop)


def test_only_the_first_of_two_forced_answers_is_kept() -> None:
    answers = [{"toolUse": {"toolUseId": str(n), "name": "json_answer", "input": {"a": n}}} for n in (1, 2)]
    reply: Any = {**REPLY, "output": {"message": {"role": "assistant", "content": answers}}}
    restored = ResponseMapping(answer_tool="json_answer").reply(reply)
    assert restored["output"]["message"]["content"] == [{"text": '{"a":1}'}]


def test_calls_of_server_tools_are_kept() -> None:
    start: Any = {
        "contentBlockStart": {
            "contentBlockIndex": 0,
            "start": {"toolUse": {"toolUseId": "s", "name": "n", "type": "server_tool_use"}},
        }
    }
    assert EventMapping(ResponseMapping(drop_tool_calls=True)).feed([start]) == [start]
