from typing import Any

import pytest

from app.converse.usage import Usage, tier_of


def test_the_prompt_includes_what_was_cached() -> None:
    usage = Usage.of({"inputTokens": 3, "outputTokens": 227, "cacheWriteInputTokens": 1712, "totalTokens": 1942})
    assert (usage.prompt, usage.prompt + usage.output) == (1715, 1942)


def test_missing_members_are_nothing() -> None:
    assert Usage.of({}) == Usage()
    assert Usage.of({"inputTokens": "5", "outputTokens": [5], "cacheReadInputTokens": None}) == Usage()


def test_thoughts_are_counted_where_claude_tells() -> None:
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
        ({"serviceTier": "flex", "performanceConfig": ["optimized"]}, ""),
        ([], ""),
    ],
)
def test_what_tokens_are_paid_by(reply: Any, tier: str) -> None:
    assert tier_of(reply) == tier
