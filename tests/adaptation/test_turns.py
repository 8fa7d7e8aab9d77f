"""Turns: their order, their ends, and blank text."""

from typing import Any

import pytest

from app.errors import InvalidRequest
from tests.adaptation.calls import (
    CLAUDE_5,
    CLAUDE_45,
    CLAUDE_46,
    PLAIN,
    SYSTEM,
    adapt_call,
    assistant,
    result,
    spec,
    use,
    user,
)


def test_adjacent_turns_of_one_role_are_merged_and_not_reported() -> None:
    adapted = adapt_call(PLAIN, [user("a"), user("b"), assistant("c"), assistant("d"), user("e")])
    assert adapted.body["messages"] == [user("a", "b"), assistant("c", "d"), user("e")]
    assert adapted.adjusted == []


def test_blank_text_is_dropped_and_reported() -> None:
    adapted = adapt_call(PLAIN, [user("a", "  \n"), assistant(" "), user("b")], system=[{"text": " "}, {"text": "s"}])
    assert adapted.body["messages"] == [user("a", "b")]
    assert adapted.body["system"] == [{"text": "s"}]
    assert adapted.adjusted == ["blank_text"]


def test_an_empty_system_prompt_is_left_out() -> None:
    assert "system" not in adapt_call(PLAIN, system=[{"text": ""}, {"cachePoint": {"type": "default"}}]).body


@pytest.mark.parametrize("messages", [[], [assistant("a")], [user(" ")], [user({"cachePoint": {"type": "default"}})]])
def test_a_conversation_without_a_first_turn_of_the_user_gets_one(messages: list[Any]) -> None:
    adapted = adapt_call(PLAIN, messages)
    assert adapted.body["messages"][0] == user(".")
    assert "first_turn" in adapted.adjusted


def test_tool_results_come_first_with_their_cache_points() -> None:
    point = {"cachePoint": {"type": "default"}}
    messages = [user("a"), assistant(use("1"), use("2")), user("b", point), user(result("1"), point, result("2"))]
    adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
    assert adapted.body["messages"][2] == user(result("1"), point, result("2"), "b", point)


def test_a_system_turn_is_kept_only_where_the_model_accepts_it() -> None:
    messages = [user("a"), SYSTEM, assistant("b"), user("c"), SYSTEM]
    assert adapt_call(CLAUDE_5, messages).body["messages"] == messages
    adapted = adapt_call(PLAIN, messages)
    assert adapted.body["messages"] == [user("a", "s"), assistant("b"), user("c", "s")]
    assert adapted.adjusted == ["system_turn"]


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([SYSTEM, user("a")], [user("s", "a")]),
        ([user("a"), SYSTEM, user("b")], [user("a", "s", "b")]),
        ([user("a"), assistant("b"), SYSTEM], [user("a"), assistant("b"), user("s")]),
        ([user("a"), SYSTEM, SYSTEM], [user("a"), {"role": "system", "content": [{"text": "s"}, {"text": "s"}]}]),
    ],
)
def test_a_system_turn_is_kept_only_between_the_user_and_the_assistant(messages: list[Any], sent: list[Any]) -> None:
    assert adapt_call(CLAUDE_5, messages).body["messages"] == sent


def test_tool_results_around_a_system_turn_become_one_turn() -> None:
    messages = [user("a"), assistant(use("1"), use("2")), user(result("1")), SYSTEM, user(result("2"))]
    adapted = adapt_call(CLAUDE_5, messages, toolConfig={"tools": [spec("t")]})
    assert adapted.body["messages"][2:] == [user(result("1"), result("2"), "s")]


def test_a_last_turn_of_the_assistant_is_sent_trimmed_or_refused() -> None:
    messages = [user("a"), assistant("b \n")]
    assert adapt_call(PLAIN, messages).body["messages"] == messages
    trimmed = adapt_call(CLAUDE_45, messages)
    assert (trimmed.body["messages"][1], trimmed.adjusted) == (assistant("b"), ["prefill"])
    assert adapt_call(CLAUDE_45, [user("a"), assistant("b")]).adjusted == []
    for capabilities in (CLAUDE_46, CLAUDE_5):
        with pytest.raises(InvalidRequest, match="does not continue") as caught:
            adapt_call(capabilities, messages)
        assert caught.value.param == "messages"


def test_blank_text_in_results_is_dropped() -> None:
    blank = {"toolResult": {"toolUseId": "1", "content": [{"text": " "}, {"json": {}}]}}
    adapted = adapt_call(PLAIN, [user("a"), assistant(use("1")), user(blank)], toolConfig={"tools": [spec("t")]})
    assert adapted.body["messages"][2]["content"][0]["toolResult"]["content"] == [{"json": {}}]
    assert adapted.adjusted == ["blank_text"]


@pytest.mark.parametrize("said", [[], [{"text": ""}], [{"text": " "}, {"text": "\n"}]])
@pytest.mark.parametrize("more", [{}, {"status": "error"}])
def test_an_empty_tool_result_gets_a_placeholder(said: Any, more: Any) -> None:
    silent = {"toolResult": {"toolUseId": "1", "content": said, **more}}
    adapted = adapt_call(PLAIN, [user("a"), assistant(use("1")), user(silent)], toolConfig={"tools": [spec("t")]})
    expected = {"toolResult": {"toolUseId": "1", "content": [{"text": "."}], **more}}
    assert adapted.body["messages"][2]["content"] == [expected]
    assert adapted.adjusted == ["blank_text"]


def test_an_empty_result_of_a_server_tool_is_kept() -> None:
    found = {"toolResult": {"toolUseId": "1", "content": [], "type": "web_search_tool_result"}}
    adapted = adapt_call(PLAIN, [user("a"), {"role": "assistant", "content": [found, {"text": "b"}]}, user("c")])
    assert adapted.body["messages"][1]["content"][0] == found


def test_a_cache_point_without_content_before_it_is_dropped() -> None:
    point: Any = {"cachePoint": {"type": "default"}}
    turn = user({"text": " "}, point, {"text": "x"}, {"text": ""}, point)
    adapted = adapt_call(PLAIN, [turn, assistant("b"), user("c")], system=[{"text": ""}, point, {"text": "s"}, point])
    assert adapted.body["messages"][0]["content"] == [{"text": "x"}, point]
    assert adapted.body["system"] == [{"text": "s"}, point]
    assert adapted.adjusted == ["blank_text", "cache_points"]
    reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    adapted = adapt_call(PLAIN, [user("a"), assistant(reasoning, {"text": " "}, point, "b"), user("c")])
    assert adapted.body["messages"][1]["content"] == [reasoning, {"text": "b"}]
