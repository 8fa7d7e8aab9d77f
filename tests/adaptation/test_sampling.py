"""Parameters of inference that each model accepts."""

from typing import Any

import pytest

from app.converse.call import Intent
from app.errors import InvalidRequest
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from tests.adaptation.calls import CLAUDE_5, CLAUDE_45, GPT_OSS, NOVA_2, PLAIN, adapt_call


def test_a_temperature_above_1_becomes_1() -> None:
    adapted = adapt_call(PLAIN, inferenceConfig={"temperature": 1.7, "topP": 0.5})
    assert adapted.body["inferenceConfig"] == {"temperature": 1.0, "topP": 0.5}
    assert adapted.adjusted == ["temperature"]


def test_top_p_is_dropped_where_the_model_refuses_it_beside_temperature() -> None:
    adapted = adapt_call(CLAUDE_45, inferenceConfig={"temperature": 0.7, "topP": 0.5})
    assert (adapted.body["inferenceConfig"].get("topP"), adapted.adjusted) == (None, ["top_p"])
    assert adapt_call(CLAUDE_45, inferenceConfig={"topP": 0.5, "maxTokens": 5}).adjusted == []


def test_sampling_is_dropped_where_the_model_refuses_it() -> None:
    adapted = adapt_call(CLAUDE_5, inferenceConfig={"temperature": 0.7, "topP": 0.5})
    assert adapted.body["inferenceConfig"].keys() == {"maxTokens"}
    assert adapted.adjusted == ["temperature", "top_p"]
    assert adapt_call(CLAUDE_5, inferenceConfig={"maxTokens": 5}).body["inferenceConfig"] == {"maxTokens": 5}


def test_blank_stop_sequences_are_dropped() -> None:
    adapted = adapt_call(PLAIN, inferenceConfig={"stopSequences": ["\n\n", "END"]})
    assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"stopSequences": ["END"]}, ["stop"])
    assert "inferenceConfig" not in adapt_call(PLAIN, inferenceConfig={"stopSequences": [" "]}).body


def test_too_many_stop_sequences_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="2500"):
        adapt_call(PLAIN, inferenceConfig={"stopSequences": [f"s{number}" for number in range(2501)]})


# litellm#41529, strix#1061: 4096 tokens cut answers off; vercel/ai#7927, litellm#39627: a budget needs more than that
@pytest.mark.parametrize(
    ("model", "effort", "length"),
    [
        ("claude-sonnet-4-5-20250929-v1:0", None, 16_384),
        ("claude-sonnet-4-5-20250929-v1:0", "high", 16_384 + 16_384),
        ("claude-sonnet-4-5-20250929-v1:0", "max", 32_000 + 16_384),
        ("claude-opus-4-1-20250805-v1:0", "max", 32_000),
        ("claude-3-haiku-20240307-v1:0", None, 4096),
        ("claude-opus-4-8", None, 16_384),
        ("claude-opus-4-8", "low", 16_384),
        ("claude-opus-4-8", "max", 65_536),
        ("claude-sonnet-5", None, 32_768),
        ("claude-sonnet-5", "none", 16_384),
        ("claude-sonnet-5-5", "none", 16_384),
    ],
)
def test_claude_is_always_given_a_length_with_room_for_its_reasoning(model: str, effort: Any, length: int) -> None:
    capabilities = capabilities_of(parse_model_id(f"anthropic.{model}"))
    body = adapt_call(capabilities, intent=Intent(effort=effort)).body
    assert body["inferenceConfig"] == {"maxTokens": length}
    thinking: Any = body.get("additionalModelRequestFields", {}).get("thinking", {})
    assert thinking.get("budget_tokens", 0) < length
    given = adapt_call(capabilities, intent=Intent(effort=effort), inferenceConfig={"maxTokens": 2000}).body
    assert given["inferenceConfig"] == {"maxTokens": 2000}


def test_other_models_keep_their_own_length() -> None:
    for capabilities in (PLAIN, NOVA_2, GPT_OSS):
        assert "maxTokens" not in adapt_call(capabilities).body.get("inferenceConfig", {})


@pytest.mark.parametrize("model", ["openai.gpt-5.6-sol", "openai.gpt-6-luna", "xai.grok-4.6", "moonshotai.kimi-k3"])
def test_a_length_below_the_smallest_that_a_model_accepts_is_raised(model: str) -> None:
    """Litellm 1.110.2: 16 for GPT, Grok and Kimi K3."""
    capabilities = capabilities_of(parse_model_id(model))
    adapted = adapt_call(capabilities, inferenceConfig={"maxTokens": 5})
    assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"maxTokens": 16}, ["max_tokens"])
    assert adapt_call(capabilities, inferenceConfig={"maxTokens": 17}).adjusted == []


@pytest.mark.parametrize("model", ["xai.grok-4.6", "xai.grok-4.7"])
def test_grok_gets_no_sampling(model: str) -> None:
    """hermes#111043, sample-kolya-br-proxy#104: "This model doesn't support the temperature field"."""
    capabilities = capabilities_of(parse_model_id(model))
    adapted = adapt_call(capabilities, inferenceConfig={"temperature": 0.5, "topP": 0.5})
    assert "inferenceConfig" not in adapted.body
    assert adapted.adjusted == ["temperature", "top_p"]
