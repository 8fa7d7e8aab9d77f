from typing import Any

import pytest

from app.converse.usage import Usage, tier_of, written_in


def test_the_prompt_includes_cached_tokens() -> None:
    usage = Usage.of({"inputTokens": 3, "outputTokens": 227, "cacheWriteInputTokens": 1712, "totalTokens": 1942})
    assert (usage.prompt, usage.prompt + usage.output) == (1715, 1942)


def test_missing_and_malformed_counts_are_0() -> None:
    assert Usage.of({}) == Usage()
    assert Usage.of({"inputTokens": "5", "outputTokens": [5], "cacheReadInputTokens": None}) == Usage()
    assert Usage.of({"inputTokens": True, "outputTokens": -1, "cacheReadInputTokens": 10**13}) == Usage()


@pytest.mark.parametrize(
    ("details", "written"),
    [
        (None, {}),
        ("1h", {}),
        ([None, {"inputTokens": 1}, {"ttl": 5, "inputTokens": 1}, {"ttl": "5m"}], {"5m": 0}),
        ([{"ttl": "5m", "inputTokens": 2}, *[{"ttl": "1h", "inputTokens": 3}] * 2], {"5m": 2, "1h": 6}),
    ],
)
def test_cache_writes_are_counted_by_ttl(details: Any, written: dict[str, int]) -> None:
    usage = {"cacheWriteInputTokens": 5, "cacheDetails": details}
    assert written_in(usage) == written
    assert Usage.of(usage).cache_write_1h == written.get("1h", 0)


def test_rounds_are_summed_and_kept() -> None:
    rounds = (Usage(1, 2, 3, 4, 5, 6), Usage(10, 20))
    both = Usage.of_rounds(rounds, is_final=False)
    assert both.counts() == {
        "input": 11,
        "output": 22,
        "cache_read": 3,
        "cache_write": 4,
        "reasoning": 5,
        "cache_write_1h": 6,
    }
    assert (both.rounds, both.is_final) == (rounds, False)


@pytest.mark.parametrize(
    "iterations",
    [None, "x", {}, [], [None], [[1]], [{}], [{"input_tokens": 1}], [{"input_tokens": 9, "output_tokens": 9}, 5]],
)
def test_malformed_rounds_are_skipped(iterations: Any) -> None:
    told = {"input_tokens": 1, "output_tokens": 2, "iterations": iterations, "cache_creation": 5}
    assert Usage.of_message(told) == Usage(1, 2)
    assert Usage(1, 2).with_details_of({"usage": told}) == Usage(1, 2)


def test_rounds_of_another_model_make_the_usage_not_final() -> None:
    rounds = [{"input_tokens": 1, "output_tokens": 2}, {"input_tokens": 3, "output_tokens": 4, "model": "claude-opus"}]
    usage = Usage.of_message({"iterations": rounds})
    assert (usage.input, usage.output, usage.is_final) == (4, 6, False)


def test_malformed_counts_of_a_round_are_0() -> None:
    told = {"iterations": [{"input_tokens": "5", "output_tokens": True, "cache_read_input_tokens": 7}]}
    assert Usage.of_message(told) == Usage(cache_read=7, rounds=(Usage(cache_read=7),))


def test_details_of_the_answer_are_added_to_bedrock_s_counts() -> None:
    begun = {"message": {"usage": {"cache_creation": {"ephemeral_1h_input_tokens": 3}}}}
    ended = {"usage": {"output_tokens": 2}}
    assert Usage(1, 2, 0, 4).with_details_of(begun, ended, None, {"usage": 5}) == Usage(1, 2, 0, 4, cache_write_1h=3)
    assert Usage(1, 2).with_details_of(begun) == Usage(1, 2, 0, 3, cache_write_1h=3)
    rounds = {"usage": {"iterations": [{"input_tokens": 5, "output_tokens": 6}] * 2}}
    assert Usage(1, 2).with_details_of(rounds) == Usage(10, 12, rounds=(Usage(5, 6), Usage(5, 6)))


def test_reasoning_tokens_are_read_from_claude_s_own_usage() -> None:
    more = {"usage": {"output_tokens_details": {"thinking_tokens": 12}}}
    assert Usage.of({"outputTokens": 20}, more) == Usage(output=20, reasoning=12)
    assert Usage.of({}, {"usage": {"output_tokens_details": {}}}).reasoning == 0


@pytest.mark.parametrize(
    ("reply", "tier"),
    [
        ({}, ""),
        ({"serviceTier": {"type": "flex"}, "performanceConfig": None}, "flex"),
        ({"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "standard"}}, "default"),
        ({"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "optimized"}}, "optimized"),
        ({"performanceConfig": {"latency": "standard"}}, "default"),
        ({"serviceTier": "flex", "performanceConfig": ["optimized"]}, ""),
        ([], ""),
    ],
)
def test_the_tier_is_read_from_replies_and_requests(reply: Any, tier: str) -> None:
    assert tier_of(reply) == tier
