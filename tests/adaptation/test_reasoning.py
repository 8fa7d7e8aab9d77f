"""Reasoning: its request, and reasoning of earlier turns."""

from typing import Any

import pytest

from app.converse.call import Intent
from app.converse.encrypted_reasoning import EncryptedReasoning, block_of
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from tests.adaptation.calls import (
    CLAUDE_5,
    CLAUDE_45,
    CLAUDE_46,
    CLAUDE_55,
    GPT_OSS,
    LLAMA,
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


def test_unsigned_reasoning_is_not_sent_to_a_model_that_signs() -> None:
    signed = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    unsigned = {"reasoningContent": {"reasoningText": {"text": "t"}}}
    redacted = {"reasoningContent": {"redactedContent": "AA=="}}
    messages = [user("a"), assistant(signed, unsigned, redacted, "b"), user("c")]
    adapted = adapt_call(CLAUDE_45, messages)
    assert adapted.body["messages"][1] == assistant(signed, redacted, "b")
    assert adapted.adjusted == ["reasoning"]
    assert adapt_call(NOVA_2, messages).body["messages"][1] == assistant("b")
    assert adapt_call(PLAIN, messages).body["messages"][1] == assistant(signed, redacted, "b")


def test_encrypted_reasoning_that_cannot_be_read_is_dropped_and_named() -> None:
    gpt = capabilities_of(parse_model_id("openai.gpt-5.5"))
    whole: Any = {"reasoningContent": block_of(EncryptedReasoning("rs_1", "secret"))}
    broken: Any = {"reasoningContent": {"redactedContent": "b2FpMS5XeUp5"}}
    adapted = adapt_call(gpt, [user("a"), assistant(whole, broken, "b"), user("c")])
    assert adapted.body["messages"][1] == assistant(whole, "b")
    assert adapted.adjusted == ["reasoning"]
    assert adapt_call(gpt, [user("a"), assistant(whole, "b"), user("c")]).adjusted == []


@pytest.mark.parametrize(
    ("capabilities", "effort", "fields"),
    [
        (CLAUDE_45, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (CLAUDE_46, "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (
            CLAUDE_5,
            "max",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
        ),
        (CLAUDE_5, "none", {"thinking": {"type": "disabled"}}),
        (CLAUDE_46, "xhigh", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (
            CLAUDE_5,
            "xhigh",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        ),
        (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (GPT_OSS, "medium", {"reasoning_effort": "medium"}),
        (QWEN, "max", {"reasoning_config": "high"}),
    ],
)
def test_effort_is_sent_in_each_model_s_own_field(capabilities: Capabilities, effort: Any, fields: Any) -> None:
    assert adapt_call(capabilities, intent=Intent(effort=effort)).body["additionalModelRequestFields"] == fields


def test_default_reasoning_is_turned_off_where_a_tool_is_forced() -> None:
    either = CLAUDE_5.with_values({"reasoning": {"with_forced_tool": False}})
    for choice in ({"any": {}}, {"tool": {"name": "t"}}):
        config = {"tools": [spec("t")], "toolChoice": choice}
        adapted = adapt_call(either, toolConfig=config)
        assert adapted.body["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
        assert adapted.body["toolConfig"]["toolChoice"] == choice
        assert adapted.adjusted == ["reasoning_effort"]
        assert "additionalModelRequestFields" not in adapt_call(CLAUDE_5, toolConfig=config).body
        adapted = adapt_call(CLAUDE_5, intent=Intent(effort="low"), toolConfig=config)
        assert adapted.body["toolConfig"]["toolChoice"] == choice
    for free in ({}, {"toolChoice": {"auto": {}}}):
        adapted = adapt_call(either, toolConfig={"tools": [spec("t")], **free})
        assert "additionalModelRequestFields" not in adapted.body
    forced = {"tools": [spec("t")], "toolChoice": {"any": {}}}
    assert "additionalModelRequestFields" not in adapt_call(CLAUDE_46, toolConfig=forced).body


def test_effort_is_reported_as_ignored_for_a_model_without_reasoning() -> None:
    adapted = adapt_call(LLAMA, intent=Intent(effort="high"))
    assert (adapted.ignored, adapted.adjusted) == (["reasoning_effort"], [])
    assert adapt_call(LLAMA, intent=Intent(effort="none")).ignored == []
    for always in (CLAUDE_55, GPT_OSS, capabilities_of(parse_model_id("deepseek.r1-v1:0"))):
        assert adapt_call(always, intent=Intent(effort="none")).ignored == ["reasoning_effort"]


def test_nova_at_high_effort_gets_no_length_temperature_or_top_p() -> None:
    inference = {"maxTokens": 100, "temperature": 0.5, "topP": 0.5, "stopSequences": ["x"]}
    adapted = adapt_call(NOVA_2, intent=Intent(effort="max"), inferenceConfig=inference)
    assert adapted.body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert sorted(adapted.adjusted) == ["max_tokens", "temperature", "top_p"]
    assert (
        adapt_call(NOVA_2, intent=Intent(effort="low"), inferenceConfig=inference).body["inferenceConfig"] == inference
    )


def test_a_budget_is_lowered_below_max_tokens_or_left_out() -> None:
    adapted = adapt_call(CLAUDE_45, intent=Intent(effort="high"), inferenceConfig={"maxTokens": 2000})
    assert adapted.body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 1500
    assert adapted.adjusted == ["reasoning_effort"]
    adapted = adapt_call(CLAUDE_45, intent=Intent(effort="high"), inferenceConfig={"maxTokens": 1024})
    assert "additionalModelRequestFields" not in adapted.body
    assert adapted.adjusted == ["reasoning_effort"]


def test_reasoning_in_a_turn_of_the_user_is_dropped() -> None:
    reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    adapted = adapt_call(CLAUDE_5, [user("a", reasoning)])
    assert (adapted.body["messages"], adapted.adjusted) == ([user("a")], ["reasoning"])


def test_a_turn_of_reasoning_alone_is_dropped_where_the_model_refuses_a_prefill() -> None:
    reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    for capabilities, roles in ((CLAUDE_5, ["user"]), (CLAUDE_45, ["user", "assistant", "user"])):
        adapted = adapt_call(capabilities, [user("a"), assistant(reasoning), user("b")])
        assert [message["role"] for message in adapted.body["messages"]] == roles
        assert adapted.adjusted == (["reasoning", "blank_text"] if len(roles) == 1 else [])


def test_no_reasoning_is_requested_in_a_tool_loop_that_began_without_it() -> None:
    reasoning = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    config = {"tools": [spec("t")]}

    def fields(*turns: Any, capabilities: Capabilities = CLAUDE_45) -> Any:
        adapted = adapt_call(capabilities, [user("a"), *turns], Intent(effort="low"), toolConfig=config)
        return adapted.body.get("additionalModelRequestFields", {}).get("thinking"), adapted.adjusted

    assert fields(assistant(use("1")), user(result("1"))) == (None, ["reasoning_effort"])
    assert fields(assistant(reasoning, use("1")), user(result("1")))[0] is not None
    rounds = assistant(use("2")), user(result("2")), assistant(use("3")), user(result("3"))
    assert fields(assistant(reasoning, use("1")), user(result("1")), *rounds)[0] is not None
    assert fields(assistant(use("1")), user(result("1")), *rounds)[0] is None
    assert fields(assistant("b"), user("c"))[0] is not None
    assert fields(user(result("1")))[0] is not None
    assert fields(assistant(use("1")), user(result("1")), capabilities=CLAUDE_46)[0] is not None


def test_reasoning_tokens_are_requested_from_a_claude_that_reasons() -> None:
    pointer = ["/usage/output_tokens_details"]
    for capabilities, effort, expected in (
        (CLAUDE_45, "low", pointer),
        (CLAUDE_45, None, None),
        (CLAUDE_5, None, pointer),
        (CLAUDE_5, "none", None),
        (GPT_OSS, "low", None),
    ):
        intent = Intent(effort=effort)  # type: ignore[arg-type]
        adapted = adapt_call(capabilities, intent=intent, inferenceConfig={"maxTokens": 9000})
        assert adapted.body.get("additionalModelResponseFieldPaths") == expected


def test_reasoning_removes_temperature_and_a_forced_tool() -> None:
    config = {"tools": [spec("t")], "toolChoice": {"any": {}}}
    inference = {"temperature": 0.5, "maxTokens": 9000}
    adapted = adapt_call(CLAUDE_45, intent=Intent(effort="low"), inferenceConfig=inference, toolConfig=config)
    assert adapted.body["inferenceConfig"] == {"maxTokens": 9000}
    assert adapted.body["toolConfig"] == {"tools": [spec("t")]}
    assert adapted.adjusted == ["temperature", "tool_choice"]


def test_no_reasoning_is_each_model_s_lowest_setting() -> None:
    """Anthropic, what's new in Sonnet 5.5: `between_tools`; Haiku 5.5 accepts `disabled`."""
    sonnet, haiku = (capabilities_of(parse_model_id(f"anthropic.claude-{name}-5-5")) for name in ("sonnet", "haiku"))
    asked = adapt_call(sonnet, intent=Intent(effort="none"))
    assert asked.body["additionalModelRequestFields"]["thinking"] == {"type": "between_tools"}
    assert (asked.ignored, asked.adjusted) == ([], ["reasoning_effort"])
    asked = adapt_call(haiku, intent=Intent(effort="none"))
    assert asked.body["additionalModelRequestFields"]["thinking"] == {"type": "disabled"}


def test_reasoning_of_another_conversation_is_dropped_once_it_was_refused() -> None:
    """AWS user guide, preserved thinking: `drop_block`, with its beta, through additionalModelRequestFields."""
    told = CLAUDE_55.with_values({"reasoning": {"drop_foreign": True}})
    fields: Any = adapt_call(told, intent=Intent(effort="low")).body["additionalModelRequestFields"]
    assert fields["thinking"] == {
        "type": "adaptive",
        "display": "summarized",
        "block_binding": {"prefix_mismatch_behavior": "drop_block"},
    }
    assert fields["anthropic_beta"] == ["thinking-binding-controls-2026-08-01"]
    plain = adapt_call(told)
    assert plain.body["additionalModelRequestFields"]["thinking"]["type"] == "adaptive"
    assert plain.adjusted == ["reasoning"]


# stdapi#283 and opencode#48195 (GPT), pydantic-ai 2.68 (Grok, GLM), langchain-aws 1.9.1 (Kimi)
@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("openai.gpt-5.6-sol", "minimal", {"reasoning": {"effort": "low"}}),
        ("openai.gpt-5.6-sol", "none", {"reasoning": {"effort": "none"}}),
        ("openai.gpt-6-astra", "none", {"reasoning": {"effort": "low"}}),
        ("openai.gpt-6.1-sol", "none", {"reasoning": {"effort": "low"}}),
        ("openai.gpt-6.1-terra", "max", {"reasoning": {"effort": "max"}}),
        ("xai.grok-4.6", "none", {"reasoning": {"effort": "low"}}),
        ("xai.grok-4.7", "max", {"reasoning": {"effort": "xhigh"}}),
        ("zai.glm-4.7", "low", {"reasoning_effort": "high"}),
        ("zai.glm-5", "none", None),
        ("zai.glm-5.3", "max", {"reasoning_effort": "max"}),
        ("zai.glm-5.3", "none", {"reasoning_effort": "low"}),
        ("moonshotai.kimi-k2.5", "medium", {"reasoning_effort": "low"}),
        ("moonshotai.kimi-k3", "xhigh", {"reasoning_effort": "high"}),
        ("deepseek.v3.2", "low", {"reasoning_effort": "high"}),
    ],
)
def test_an_effort_becomes_the_nearest_that_the_model_accepts(model: str, effort: Any, fields: Any) -> None:
    adapted = adapt_call(capabilities_of(parse_model_id(model)), intent=Intent(effort=effort))
    assert adapted.body.get("additionalModelRequestFields") == fields
    sent = [value if isinstance(value, str) else value["effort"] for value in (fields or {}).values()]
    assert adapted.adjusted == ([] if sent in ([], [effort]) else ["reasoning_effort"])
    assert adapted.ignored == []
