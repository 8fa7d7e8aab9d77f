"""One body of Anthropic's Messages for every generation of Claude: parameters are translated or left out."""

from typing import Any

import pytest

from app.adaptation.invoke import AdaptedInvokeBody, adapt_invoke
from app.converse.call import NativeCall
from app.converse.encrypted_reasoning import mark_of, redacted
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id

HELLO: Any = {"role": "user", "content": "hi"}
TOOL: Any = {"name": "look", "input_schema": {"type": "object"}}


def claude(name: str) -> Capabilities:
    return capabilities_of(parse_model_id(f"anthropic.claude-{name}"))


def fit(name: str, **members: Any) -> AdaptedInvokeBody:
    body = {"max_tokens": 4000, "messages": [HELLO], **members}
    return adapt_invoke(NativeCall("m", body), claude(name))


BUDGET = {"type": "enabled", "budget_tokens": 2048}
ADAPTIVE = {"type": "adaptive"}
SHOWN = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}
BETWEEN = {"type": "between_tools"}


@pytest.mark.parametrize(
    ("name", "thinking", "effort", "sent", "sent_effort"),
    [
        ("3-5-haiku-20241022-v1:0", BUDGET, None, None, None),
        ("3-5-haiku-20241022-v1:0", ADAPTIVE, "low", None, None),
        ("3-5-haiku-20241022-v1:0", BETWEEN, None, None, None),
        ("sonnet-4-20250514-v1:0", BUDGET, None, BUDGET, None),
        ("sonnet-4-20250514-v1:0", ADAPTIVE, "low", BUDGET, None),
        ("sonnet-4-5-20250929-v1:0", ADAPTIVE, None, {"type": "enabled", "budget_tokens": 3000}, None),
        ("sonnet-4-5-20250929-v1:0", ADAPTIVE, "unheard of", {"type": "enabled", "budget_tokens": 3000}, None),
        ("sonnet-4-5-20250929-v1:0", BETWEEN, None, OFF, None),
        ("sonnet-4-5-20250929-v1:0", None, "high", None, None),
        ("sonnet-4-6", BUDGET, None, BUDGET, None),
        ("sonnet-4-6", ADAPTIVE, "xhigh", ADAPTIVE, "high"),
        ("sonnet-4-6", ADAPTIVE, "max", ADAPTIVE, "max"),
        ("opus-4-7", BUDGET, None, SHOWN, "low"),
        ("opus-4-7", BUDGET, "max", SHOWN, "max"),
        ("opus-4-8", {**BUDGET, "display": "omitted"}, None, {**SHOWN, "display": "omitted"}, "low"),
        ("opus-4-8", {"type": "enabled"}, None, SHOWN, None),
        ("opus-4-8", ADAPTIVE, "xhigh", ADAPTIVE, "xhigh"),
        ("opus-4-5-20251101-v1:0", BUDGET, "medium", BUDGET, "medium"),
        ("opus-4-5-20251101-v1:0", ADAPTIVE, "max", {"type": "enabled", "budget_tokens": 3000}, "high"),
        ("sonnet-5", OFF, None, OFF, None),
        ("opus-5", OFF, "xhigh", OFF, "high"),
        ("opus-4-8", OFF, "xhigh", OFF, "xhigh"),
        ("fable-5", OFF, None, None, None),
        ("opus-5-5", OFF, None, None, None),
        ("sonnet-5-5", BETWEEN, None, BETWEEN, None),
        ("sonnet-5-5", BETWEEN, "max", BETWEEN, "high"),
        ("sonnet-5-5", OFF, None, BETWEEN, None),
        ("opus-5-5", BETWEEN, None, None, None),
        ("fable-5-2", BETWEEN, None, None, None),
        ("haiku-5-5", BETWEEN, None, OFF, None),
        ("haiku-5-5", OFF, None, OFF, None),
    ],
)
def test_thinking_is_sent_as_each_model_accepts_it(
    name: str, thinking: Any, effort: str | None, sent: Any, sent_effort: str | None
) -> None:
    said = {"thinking": thinking} if thinking else {}
    config = {"output_config": {"effort": effort}} if effort else {}
    adapted = fit(name, **said, **config)
    assert adapted.body.get("thinking") == sent
    assert adapted.body.get("output_config") == ({"effort": sent_effort} if sent_effort else None)
    has_changed = (sent, sent_effort) != (thinking, effort)
    assert adapted.adjusted == (["reasoning_effort"] if has_changed else [])


def test_disabled_thinking_is_removed_and_not_reported_for_a_model_without_reasoning() -> None:
    adapted = fit("3-haiku-20240307-v1:0", thinking=OFF)
    assert ("thinking" in adapted.body, adapted.adjusted) == (False, [])


def test_thinking_without_room_below_max_tokens_is_removed() -> None:
    adapted = fit("sonnet-4-5-20250929-v1:0", thinking=ADAPTIVE, max_tokens=1200, temperature=0.5)
    assert ("thinking" in adapted.body, adapted.body["temperature"]) == (False, 0.5)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("sonnet-4-20250514-v1:0", {"temperature", "top_p", "top_k"}),
        ("sonnet-4-5-20250929-v1:0", {"temperature", "top_k"}),
        ("opus-4-7", set()),
    ],
)
def test_sampling_is_sent_as_each_model_accepts_it(name: str, kept: set[str]) -> None:
    sampling = {"temperature": 0.3, "top_p": 0.9, "top_k": 20}
    adapted = fit(name, **sampling)
    assert adapted.body.keys() & sampling.keys() == kept
    assert set(adapted.adjusted) == sampling.keys() - kept


def test_sampling_is_removed_where_adaptive_thinking_becomes_a_budget() -> None:
    adapted = fit("sonnet-4-20250514-v1:0", thinking=ADAPTIVE, temperature=0.3, top_k=5)
    assert adapted.body.keys() & {"temperature", "top_k"} == set()
    assert adapted.adjusted == ["temperature", "top_k", "reasoning_effort"]


def test_the_output_format_is_kept_where_the_effort_is_removed() -> None:
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    adapted = fit("sonnet-4-5-20250929-v1:0", output_config={**wanted, "effort": "low"})
    assert adapted.body["output_config"] == wanted
    adapted = fit("opus-4-8", output_config=wanted, thinking=BUDGET)
    assert adapted.body["output_config"] == {**wanted, "effort": "low"}


NAMED = {"type": "tool", "name": "look", "disable_parallel_tool_use": True}
OTHER = {"name": "other", "input_schema": {"type": "object"}}


def test_a_tool_choice_is_sent_as_each_model_accepts_it() -> None:
    for name in ("sonnet-4-6", "sonnet-5", "fable-5"):
        adapted = fit(name, tools=[TOOL], tool_choice=NAMED)
        assert (adapted.body["tool_choice"], "thinking" in adapted.body, adapted.adjusted) == (NAMED, False, [])


def test_thinking_is_turned_off_where_a_tool_is_forced_and_the_model_refuses_both() -> None:
    told = claude("opus-5").with_values({"reasoning": {"with_forced_tool": False}})
    for effort, sent in (("low", "low"), ("max", "high")):
        body = {"max_tokens": 9, "messages": [HELLO], "tools": [TOOL], "tool_choice": NAMED}
        config = {"output_config": {"effort": effort}}
        adapted = adapt_invoke(NativeCall("m", {**body, **config}), told)
        assert (adapted.body["tool_choice"], adapted.body["thinking"]) == (NAMED, OFF)
        assert adapted.body["output_config"] == {"effort": sent}
        assert adapted.adjusted == ["reasoning_effort"]
        adapted = adapt_invoke(NativeCall("m", {**body, "thinking": ADAPTIVE}), told)
        assert (adapted.body["thinking"], adapted.adjusted) == (ADAPTIVE, [])


@pytest.mark.parametrize("name", ["opus-5-5", "sonnet-5-5", "fable-5-1", "fable-5-2"])
def test_the_last_turn_names_the_tool_for_a_model_that_accepts_no_forced_tool(name: str) -> None:
    # AWS user guide, preserved thinking: reasoning is refused once the tools before it have changed
    adapted = fit(name, tools=[OTHER, TOOL], tool_choice=NAMED)
    assert adapted.body["tools"] == [OTHER, TOOL]
    assert adapted.body["messages"][-1]["content"][-1] == {"type": "text", "text": f"Call the tool {TOOL['name']} now."}
    assert adapted.body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert adapted.adjusted == ["tool_choice"]
    adapted = fit(name, tools=[OTHER, TOOL], tool_choice={"type": "any"})
    assert (adapted.body["tools"], adapted.body["tool_choice"]) == ([OTHER, TOOL], {"type": "auto"})
    for other in (NAMED, {"type": "tool"}):
        adapted = fit(name, tools=[OTHER, {"type": "bash_20250124"}], tool_choice=other)
        assert adapted.body["tools"] == [OTHER, {"type": "bash_20250124"}]
        assert adapted.body["messages"] == [HELLO]
    adapted = fit("haiku-5-5", tools=[OTHER, TOOL], tool_choice=NAMED)
    assert (adapted.body["tool_choice"], adapted.adjusted) == (NAMED, [])


def call(given: Any) -> Any:
    return {"type": "tool_use", "id": given, "name": "look", "input": {}}


def result(given: Any) -> Any:
    return {"type": "tool_result", "tool_use_id": given, "content": "seen"}


def test_an_effort_beside_a_budget_adds_its_beta() -> None:
    adapted = fit("opus-4-5-20251101-v1:0", output_config={"effort": "low"})
    assert adapted.body["anthropic_beta"] == ["effort-2025-11-24"]
    assert "anthropic_beta" not in fit("opus-4-5-20251101-v1:0", thinking=BUDGET).body


@pytest.mark.parametrize(
    ("wished", "budget", "sent"), [(100_000, 80_000, 51_200), (100_000, 2048, 2048), (100_000, 200_000, 200_000)]
)
def test_a_budget_is_lowered_in_proportion_to_max_tokens(wished: int, budget: int, sent: int) -> None:
    told = claude("sonnet-4-20250514-v1:0").with_values({"max_output": 64_000})
    thinking = {"type": "enabled", "budget_tokens": budget}
    adapted = adapt_invoke(NativeCall("m", {"max_tokens": wished, "messages": [HELLO], "thinking": thinking}), told)
    assert (adapted.body["max_tokens"], adapted.body["thinking"]["budget_tokens"]) == (64_000, sent)
    assert adapted.adjusted == (["max_tokens"] if sent == budget else ["reasoning_effort", "max_tokens"])


def test_long_call_ids_are_unchanged() -> None:
    given = "t" * 100
    messages = [HELLO, {"role": "assistant", "content": [call(given)]}, {"role": "user", "content": [result(given)]}]
    assert fit("sonnet-5", messages=messages).body["messages"] == messages


@pytest.mark.parametrize(
    ("content", "is_error", "sent"),
    [
        ([], False, []),
        ("", False, ""),
        ("", True, [{"type": "text", "text": "."}]),
        ([], True, [{"type": "text", "text": "."}]),
        ([{"type": "text", "text": " "}], False, [{"type": "text", "text": "."}]),
        ("seen", True, "seen"),
    ],
)
def test_blank_tool_results_are_empty_or_get_a_placeholder(content: Any, is_error: bool, sent: Any) -> None:
    said = {**result("a"), "content": content, "is_error": is_error}
    messages = [HELLO, {"role": "assistant", "content": [call("a")]}, {"role": "user", "content": [said]}]
    adapted = fit("sonnet-5", messages=messages)
    assert adapted.body["messages"][2]["content"][0]["content"] == sent
    assert adapted.adjusted == ([] if sent == content else ["blank_text"])


def test_results_of_server_tools_are_unchanged() -> None:
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    messages = [
        HELLO,
        {"role": "assistant", "content": [found, {"type": "document", "source": {"type": "text"}}]},
        HELLO,
    ]
    adapted = fit("sonnet-5", messages=messages)
    assert (adapted.body["messages"], adapted.adjusted, adapted.ignored) == (messages, [], [])


def test_reasoning_in_a_turn_of_the_user_is_dropped() -> None:
    reasoning = {"type": "thinking", "thinking": "t", "signature": "s"}
    adapted = fit("sonnet-5", messages=[{"role": "user", "content": [reasoning, {"type": "text", "text": "hi"}]}])
    assert adapted.body["messages"][0]["content"] == [{"type": "text", "text": "hi"}]
    assert adapted.adjusted == ["reasoning"]


def test_call_ids_of_other_models_become_legal_and_unique() -> None:
    turns = [
        HELLO,
        {"role": "assistant", "content": [call("look:0"), call("a"), call("a"), call(5)]},
        {"role": "user", "content": [result("look:0"), result("a"), result("a"), result(5), result("lost:1")]},
    ]
    adapted = fit("sonnet-4-6", messages=turns)
    made = [block["id"] for block in adapted.body["messages"][1]["content"]]
    answered = [block["tool_use_id"] for block in adapted.body["messages"][2]["content"]]
    assert made[1:] == ["a", "a-2", 5]
    assert answered == [*made, "lost:1"]
    assert made[0].startswith("id_")
    assert adapted.adjusted == ["tool_ids"]
    assert fit("sonnet-4-6", messages=turns).body == adapted.body
    assert turns[1]["content"][0]["id"] == "look:0"


def test_reasoning_is_not_sent_to_a_model_without_reasoning() -> None:
    reasoning = [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    turns = [
        HELLO,
        {"role": "assistant", "content": [*reasoning, call("a")]},
        {"role": "user", "content": [result("a")]},
    ]
    adapted = fit("3-haiku-20240307-v1:0", messages=turns)
    assert (adapted.body["messages"][1]["content"], adapted.adjusted) == ([call("a")], ["reasoning"])
    assert fit("opus-4-8", messages=turns).body["messages"] == turns


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted_thinking", "data": redacted(mark_of("rs_1", "secret"))},
        {"type": "thinking", "thinking": "t", "signature": mark_of("rs_1", "secret")},
    ],
)
def test_reasoning_that_openai_encrypted_is_not_sent_to_claude(block: Any) -> None:
    turns = [HELLO, {"role": "assistant", "content": [block, {"type": "text", "text": "b"}]}, HELLO]
    adapted = fit("opus-4-8", messages=turns)
    assert adapted.body["messages"][1]["content"] == [{"type": "text", "text": "b"}]
    assert adapted.adjusted == ["reasoning"]


def test_a_turn_of_reasoning_alone_is_dropped_where_the_model_refuses_a_prefill() -> None:
    reasoning = {"type": "thinking", "thinking": "t", "signature": "s"}
    for name, is_kept in (("sonnet-5", False), ("sonnet-4-5-20250929-v1:0", True)):
        adapted = fit(name, messages=[HELLO, {"role": "assistant", "content": [reasoning]}, HELLO])
        assert (len(adapted.body["messages"]), adapted.adjusted) == ((3, []) if is_kept else (2, ["reasoning"]))


def test_images_of_the_assistant_are_dropped_and_named() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}
    turns = [HELLO, {"role": "assistant", "content": [image, {"type": "text", "text": "there"}]}, HELLO]
    adapted = fit("sonnet-5", messages=turns)
    assert adapted.body["messages"][1]["content"] == [{"type": "text", "text": "there"}]
    assert adapted.ignored == ["messages[1].content[0]"]
    assert fit("sonnet-5", messages=[{"role": "user", "content": [image]}]).ignored == []


def test_alternatives_at_the_top_of_a_tool_s_schema_are_merged() -> None:
    schema = {"type": "object", "oneOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["b"]}]}
    adapted = fit(
        "sonnet-5", tools=[{"name": "pick", "input_schema": schema}, TOOL, {"name": "odd", "input_schema": 5}]
    )
    assert adapted.body["tools"][0]["input_schema"] == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert adapted.adjusted == ["tool_schema"]
