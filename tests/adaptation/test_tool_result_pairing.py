"""Tool calls and results are paired from any position."""

import gc
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.capabilities import Capabilities
from tests.adaptation.calls import (
    CLAUDE_5,
    CLAUDE_46,
    NOVA_2,
    PLAIN,
    adapt_call,
    assistant,
    result,
    spec,
    use,
    user,
)

REASONING = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
ONE, TWO = use("1"), use("2")
GAVE_ONE, GAVE_TWO = result("1"), result("2")
HI = user("hi")
POINT: Any = {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize(
    ("sent", "goes"),
    [
        (
            [HI, assistant(ONE), user("hurry"), assistant("a moment"), user(GAVE_ONE)],
            [user("hi", "hurry"), assistant("a moment", ONE), user(GAVE_ONE)],
        ),
        (
            [HI, assistant(REASONING, "I look.", ONE), user("hurry"), assistant("a moment"), user(GAVE_ONE, "and?")],
            [user("hi", "hurry"), assistant(REASONING, "a moment", "I look.", ONE), user(GAVE_ONE, "and?")],
        ),
        (
            [HI, assistant(ONE), user("hurry"), assistant(TWO), user(GAVE_ONE, GAVE_TWO)],
            [user("hi", "hurry"), assistant(TWO, ONE), user(GAVE_ONE, GAVE_TWO)],
        ),
        (
            [HI, assistant(ONE, TWO), user(GAVE_ONE), assistant("a moment"), user(GAVE_TWO)],
            [HI, assistant("a moment", ONE, TWO), user(GAVE_ONE, GAVE_TWO)],
        ),
        (
            [
                HI,
                assistant(ONE),
                user("x"),
                assistant("y"),
                user("z"),
                assistant("w"),
                user(GAVE_ONE),
                assistant("end"),
            ],
            [user("hi", "x"), assistant("y"), user("z"), assistant("w", ONE), user(GAVE_ONE), assistant("end")],
        ),
        (
            [HI, assistant(ONE, TWO), user("x"), assistant("y"), user(GAVE_ONE), assistant("z"), user(GAVE_TWO)],
            [user("hi", "x"), assistant("y", "z", ONE, TWO), user(GAVE_ONE, GAVE_TWO)],
        ),
    ],
)
def test_calls_are_moved_directly_before_their_results(sent: list[Any], goes: list[Any]) -> None:
    if goes[-1]["role"] == "assistant":
        sent, goes = [*sent, HI], [*goes, HI]
    adapted = adapt_call(CLAUDE_46, sent, toolConfig={"tools": [spec("t")]})
    assert adapted.body["messages"] == goes
    assert adapted.adjusted == ["tool_results"]


def test_paired_calls_are_unchanged_and_a_repeated_id_is_another_call() -> None:
    sent = [HI, assistant(ONE), user(GAVE_ONE), assistant("so"), user("and?"), assistant(ONE), user(GAVE_ONE)]
    adapted = adapt_call(CLAUDE_46, sent, toolConfig={"tools": [spec("t")]})
    shapes = [[next(iter(block)) for block in turn["content"]] for turn in adapted.body["messages"]]
    assert shapes == [[next(iter(block)) for block in turn["content"]] for turn in sent]
    assert "tool_results" not in adapted.adjusted


def test_a_cache_point_moves_with_the_block_before_it() -> None:
    sent = [HI, assistant(ONE, TWO), user(GAVE_ONE, POINT), assistant("y"), user(GAVE_TWO, POINT, "and?")]
    assert adapt_call(CLAUDE_46, sent, toolConfig={"tools": [spec("t")]}).body["messages"] == [
        HI,
        assistant("y", ONE, TWO),
        user(GAVE_ONE, POINT, GAVE_TWO, POINT, "and?"),
    ]


def test_turns_of_the_system_keep_a_position_that_is_accepted() -> None:
    system: Any = {"role": "system", "content": [{"text": "s"}]}
    sent = [HI, system, assistant(ONE), user("x"), assistant("y"), user(GAVE_ONE)]
    assert adapt_call(CLAUDE_5, sent, toolConfig={"tools": [spec("t")]}).body["messages"] == [
        user("hi", "s", "x"),
        assistant("y", ONE),
        user(GAVE_ONE),
    ]
    between = [HI, assistant(ONE), system, user(GAVE_ONE)]
    assert adapt_call(CLAUDE_5, between, toolConfig={"tools": [spec("t")]}).body["messages"] == [
        HI,
        assistant(ONE),
        user(GAVE_ONE, "s"),
    ]


def test_a_result_without_a_call_becomes_texts_and_media_of_the_user() -> None:
    picture: Any = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    lost: Any = {"toolResult": {"toolUseId": "9", "content": [{"text": "a"}, picture, {"json": {"b": 1}}]}}
    adapted = adapt_call(CLAUDE_46, [user(lost, POINT, "and?")])
    text = 'Output of the tool call 9:\na\n{"b":1}'
    assert adapted.body["messages"] == [user(text, picture, POINT, "and?")]
    assert adapted.adjusted == ["tool_results"]
    # one result more than calls
    twice = adapt_call(CLAUDE_46, [HI, assistant(ONE), user(GAVE_ONE, GAVE_ONE)])
    assert twice.body["messages"][-1] == user(GAVE_ONE, "Output of the tool call 1:\nr")


def test_calls_and_results_of_the_wrong_role_are_unchanged() -> None:
    wrong = [HI, assistant(ONE), user("x"), assistant(GAVE_ONE, POINT, TWO), user("y"), assistant("z"), user(GAVE_TWO)]
    kinds = [next(iter(block)) for turn in adapt_call(PLAIN, wrong).body["messages"] for block in turn["content"]]
    assert sorted(kinds) == sorted(next(iter(block)) for turn in wrong for block in turn["content"])


@pytest.mark.timed
def test_many_calls_of_one_id_are_paired_in_linear_time() -> None:
    def seconds(count: int) -> float:
        gc.disable()  # a collection would scan all objects of the test run
        started = time.process_time()
        adapt_call(PLAIN, [HI, *[assistant(ONE), user(GAVE_ONE)] * count])
        spent = time.process_time() - started
        gc.enable()
        return spent

    # noise of the machine only adds time
    few, many = (min(seconds(count) for _ in range(3)) for count in (1000, 8000))
    assert many < 24 * few


TURNS = st.lists(
    st.sampled_from(
        ["user", "say", "system", *(f"{kind}{number}" for kind in ("call", "gave") for number in range(4))]
    ),
    max_size=14,
    unique=True,
)


def turn_of(name: str) -> Any:
    number = name[-1]
    kinds = {"call": assistant(use(number)), "gave": user(result(number))}
    others = {"say": assistant(name), "user": user(name), "system": {"role": "system", "content": [{"text": name}]}}
    return kinds.get(name[:4]) or others[name]


def _is_called(gave: str, names: list[str]) -> bool:
    call = f"call{gave[-1]}"
    return call in names and names.index(call) < names.index(gave)


@given(TURNS, st.sampled_from([NOVA_2, CLAUDE_5]))
def test_any_order_keeps_all_blocks_and_pairs_all_results(names: list[str], capabilities: Capabilities) -> None:
    sent = [HI, *map(turn_of, names), user("end")]
    messages: Any = adapt_call(capabilities, sent).body["messages"]
    said = [block for turn in messages for block in turn["content"]]
    unpaired = [each for each in names if each.startswith("gave") and not _is_called(each, names)]
    texts = {repr(result(each[-1])): {"text": f"Output of the tool call {each[-1]}:\nr"} for each in unpaired}
    before = [texts.get(repr(block), block) for turn in sent for block in turn["content"]]
    assert sorted(map(repr, said)) == sorted(map(repr, before))
    roles = [turn["role"] for turn in messages if turn["role"] != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    for number in range(4):
        gave = f"gave{number}"
        if gave in names and _is_called(gave, names):
            calling = next(index for index, turn in enumerate(messages) if use(str(number)) in turn["content"])
            assert result(str(number)) in messages[calling + 1]["content"]
    for index, turn in enumerate(messages):
        if turn["role"] == "system":
            assert [each["role"] for each in messages[index - 1 : index + 2]] in (
                ["user", "system", "assistant"],
                ["user", "system"],
            )
