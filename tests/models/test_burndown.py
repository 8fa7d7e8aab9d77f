"""How many tokens of a quota an output token takes."""

import logging

import pytest

from app.converse.usage import Usage
from app.governance.quotas.arithmetic import Arithmetic
from app.models.burndown import DEAREST_RATE, Burndown


@pytest.mark.parametrize(
    ("base", "rate"),
    [
        ("anthropic.claude-opus-4-8", 15),
        ("anthropic.claude-sonnet-5", 10),
        ("anthropic.claude-opus-5", 10),
        ("anthropic.claude-opus-5-5", 10),
        ("anthropic.claude-fable-5-1", 10),
        ("openai.gpt-5.6-sol", 10),
        ("anthropic.claude-opus-4-7", 5),
        ("anthropic.claude-opus-4-6-v1", 5),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", 5),
        ("anthropic.claude-sonnet-4-20250514-v1:0", 5),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", 5),
        ("anthropic.claude-3-haiku-20240307-v1:0", 5),
        ("anthropic.claude-v2:1", 5),
        ("openai.gpt-oss-120b-1:0", 1),
        ("amazon.nova-pro-v1:0", 1),
        ("meta.llama4-maverick-17b-instruct-v1:0", 1),
    ],
)
def test_a_known_model_has_its_rate_without_a_warning(base: str, rate: int, caplog: pytest.LogCaptureFixture) -> None:
    assert Burndown().rate(base) == rate
    assert caplog.records == []


@pytest.mark.parametrize("base", ["anthropic.claude-sonnet-5-5", "anthropic.claude-fable-6", "openai.gpt-6-astra"])
def test_an_unknown_model_of_a_vendor_with_rates_has_the_dearest_one_and_one_warning(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    burndown = Burndown()
    with caplog.at_level(logging.WARNING):
        assert burndown.rate(base) == burndown.rate(base) == DEAREST_RATE == 15
    assert [record.fields for record in caplog.records] == [{"model": base, "rate": 15}]  # type: ignore[attr-defined]


def test_the_rate_of_a_deployment_comes_first() -> None:
    assert Burndown({"anthropic.claude-sonnet-5": 7}).rate("anthropic.claude-sonnet-5") == 7


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # what AWS's metric EstimatedTPMQuotaUsage showed for Claude Sonnet 4.6 (2026-10)
        (Usage(input=26, output=1203), 6041),
        (Usage(input=8, output=5, cache_write=8814), 8847),
        (Usage(input=8, output=5, cache_read=8814), 33),
    ],
)
def test_a_call_takes_input_cache_writes_and_output_times_the_rate(usage: Usage, tokens: int) -> None:
    assert Arithmetic(5).used(usage) == [tokens]
