"""Calls of tools and what they gave, found together wherever they stood."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tailor.test_tailor import CLAUDE_46, NOVA_2, assistant, result, spec, tailored, use, user

THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
ONE, TWO = use("1"), use("2")
GAVE_ONE, GAVE_TWO = result("1"), result("2")
HI = user("hi")


@pytest.mark.parametrize(
    ("sent", "goes"),
    [
        (
            [HI, assistant(ONE), user("hurry"), assistant("a moment"), user(GAVE_ONE)],
            [user("hi", "hurry"), assistant("a moment", ONE), user(GAVE_ONE)],
        ),
        (
            [HI, assistant(THOUGHT, "I look.", ONE), user("hurry"), assistant("a moment"), user(GAVE_ONE, "and?")],
            [user("hi", "hurry"), assistant(THOUGHT, "a moment", "I look.", ONE), user(GAVE_ONE, "and?")],
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
def test_calls_stand_right_before_what_they_gave(sent: list[Any], goes: list[Any]) -> None:
    if goes[-1]["role"] == "assistant":
        sent, goes = [*sent, HI], [*goes, HI]
    draft = tailored(CLAUDE_46, sent, toolConfig={"tools": [spec("t")]})
    assert draft.body["messages"] == goes
    assert draft.repaired == ["tool_results"]


def test_what_stands_together_stays_and_an_id_that_comes_again_is_another_call() -> None:
    again = [assistant("so"), user("and?"), assistant(ONE), user(GAVE_ONE)]
    for sent in ([HI, assistant(ONE), user(GAVE_ONE), *again], [HI, assistant(ONE), user("never mind"), *again[2:]]):
        draft = tailored(CLAUDE_46, sent, toolConfig={"tools": [spec("t")]})
        shapes = [[next(iter(block)) for block in turn["content"]] for turn in draft.body["messages"]]
        assert shapes == [[next(iter(block)) for block in turn["content"]] for turn in sent]
        assert "tool_results" not in draft.repaired


TURNS = st.lists(
    st.sampled_from(["user", "say", *(f"{kind}{number}" for kind in ("call", "gave") for number in range(4))]),
    max_size=14,
    unique=True,
)


def turn_of(name: str) -> Any:
    number = name[-1]
    kinds = {"call": assistant(use(number)), "gave": user(result(number))}
    return kinds.get(name[:4]) or (assistant(name) if name == "say" else user(name))


@given(TURNS)
def test_no_order_loses_a_word_or_parts_a_pair(names: list[str]) -> None:
    sent = [HI, *map(turn_of, names), user("end")]
    messages: Any = tailored(NOVA_2, sent).body["messages"]
    said = [block for turn in messages for block in turn["content"]]
    before = [block for turn in sent for block in turn["content"]]
    assert sorted(map(repr, said)) == sorted(map(repr, before))
    roles = [turn["role"] for turn in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    for number in range(4):
        call, gave = f"call{number}", f"gave{number}"
        if call in names and gave in names and names.index(call) < names.index(gave):
            calling = next(place for place, turn in enumerate(messages) if use(str(number)) in turn["content"])
            assert result(str(number)) in messages[calling + 1]["content"]
