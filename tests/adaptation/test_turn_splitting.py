"""Blocks that a model refuses in one turn, and media that a tool result may hold."""

from typing import Any

import pytest

from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from tests.adaptation.calls import (
    CLAUDE_46,
    LLAMA,
    MISTRAL,
    NOVA_2,
    PLAIN,
    QWEN,
    adapt_call,
    assistant,
    result,
    spec,
    use,
    user,
)

PICTURE: Any = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
PAPER: Any = {"document": {"format": "csv", "name": "d", "source": {"bytes": "aGk="}}}
POINT: Any = {"cachePoint": {"type": "default"}}
DOT = {"user": user("."), "assistant": assistant(".")}


def shown(tool_id: str, *parts: Any) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": list(parts)}}


def sent(capabilities: Any, *turns: Any) -> tuple[list[Any], bool]:
    adapted = adapt_call(capabilities, [*turns], toolConfig={"tools": [spec("t")]})
    return adapted.body["messages"], "tool_results" in adapted.adjusted  # type: ignore[return-value]


@pytest.mark.parametrize("capabilities", [LLAMA, MISTRAL])
def test_other_blocks_are_separated_from_calls_and_results(capabilities: Any) -> None:
    messages, is_told = sent(capabilities, user("hi"), assistant("I look.", use("1")), user(result("1"), "and?"))
    assert messages == [
        user("hi"),
        assistant("I look."),
        DOT["user"],
        assistant(use("1")),
        user(result("1")),
        DOT["assistant"],
        user("and?"),
    ]
    assert is_told


def test_citations_and_search_results_are_separated_too() -> None:
    cited: Any = {"citationsContent": {"content": [{"text": "c"}], "citations": []}}
    found: Any = {"searchResult": {"source": "s", "title": "t", "content": [{"text": "f"}]}}
    messages, _ = sent(MISTRAL, user("hi"), assistant(cited, use("1")), user(result("1"), found))
    assert messages[1:] == [
        assistant(cited),
        DOT["user"],
        assistant(use("1")),
        user(result("1")),
        DOT["assistant"],
        user(found),
    ]


@pytest.mark.parametrize("capabilities", [CLAUDE_46, NOVA_2, QWEN, PLAIN])
def test_text_stays_beside_calls_and_results_where_the_model_accepts_it(capabilities: Any) -> None:
    turns = [user("hi"), assistant("I look.", use("1")), user(result("1"), "and?")]
    assert sent(capabilities, *turns) == (turns, False)


def test_documents_are_separated_from_results_for_claude() -> None:
    calls = [user("hi"), assistant(use("1"))]
    messages, is_told = sent(CLAUDE_46, *calls, user("read", PAPER, result("1"), POINT))
    assert messages == [*calls, user(result("1"), POINT), DOT["assistant"], user("read", PAPER)]
    assert is_told
    assert sent(CLAUDE_46, *calls, user(result("1"), PICTURE, "look"))[1] is False
    assert sent(NOVA_2, *calls, user(result("1"), PAPER, "read"))[1] is False


def test_media_are_moved_after_results_that_may_not_hold_them() -> None:
    calls = [user("hi"), assistant(use("1"), use("2"))]
    results = user(shown("1", {"text": "a"}, PICTURE), shown("2", PICTURE), "and?")
    messages, is_told = sent(QWEN, *calls, results)
    assert is_told
    first, second = "image 1 of the tools' results", "image 2 of the tools' results"
    assert messages[-1] == user(
        shown("1", {"text": "a"}, {"text": f"({first}: below)"}),
        shown("2", {"text": f"({second}: below)"}),
        f"({first})",
        PICTURE,
        f"({second})",
        PICTURE,
        "and?",
    )
    for capabilities in (CLAUDE_46, NOVA_2, PLAIN):
        assert sent(capabilities, *calls, results) == ([*calls, results], False)


def test_moved_images_get_a_turn_of_their_own_where_results_stand_alone() -> None:
    calls = [user("hi"), assistant(use("1"))]
    messages, _ = sent(MISTRAL, *calls, user(shown("1", PICTURE)))
    name = "image 1 of the tools' results"
    assert messages[2:] == [
        user(shown("1", {"text": f"({name}: below)"})),
        DOT["assistant"],
        user(f"({name})", PICTURE),
    ]
    assert sent(LLAMA, *calls, user(shown("1", PICTURE))) == ([*calls, user(shown("1", PICTURE))], False)


@pytest.mark.parametrize("name", ["moonshotai.kimi-k2.5", "nvidia.nemotron-super-3-120b", "cohere.command-r-v1:0"])
def test_models_of_known_providers_get_no_cache_points(name: str) -> None:
    capabilities = capabilities_of(parse_model_id(name))
    assert not capabilities.caching.accepted
    assert adapt_call(capabilities, [user("hi", POINT)]).body["messages"] == [user("hi")]
