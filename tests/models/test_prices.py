"""The cost of a call: calculated by hand for real models, and None where anything is unknown."""

import pytest

from app.converse.usage import Usage
from app.models import prices
from app.models.ids import parse_model_id
from app.models.prices import Prices
from app.wire import json

PRICES = Prices()


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("amazon.nova-lite-v1:0", Usage(1_000_000, 1_000_000), 0.30),
        ("us.amazon.nova-lite-v1:0", Usage(1_000_000), 0.06),
        ("global.anthropic.claude-sonnet-4-6", Usage(1000, 100, 10_000, 2000), 0.003 + 0.0015 + 0.003 + 0.0075),
        ("us.anthropic.claude-sonnet-4-6", Usage(1000), 0.0033),
        ("anthropic.claude-sonnet-4-6", Usage(1000), 0.0033),
        # an hour costs more (litellm#29432: counted as five minutes, the cost is 37 % too low)
        ("global.anthropic.claude-sonnet-4-6", Usage(cache_write=3000, cache_write_1h=2000), 0.00375 + 0.012),
        ("global.anthropic.claude-haiku-5-5", Usage(100_000), 0.01),
        ("global.anthropic.claude-haiku-5-5", Usage(100_001), 0.0500005),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6",
            Usage(1000),
            0.003,
        ),
    ],
)
def test_the_cost_of_a_call_matches_a_calculation_by_hand(model: str, usage: Usage, dollars: float) -> None:
    assert PRICES.of_call(model, "", usage, "") == pytest.approx(dollars, rel=1e-9)


def test_an_unknown_cost_is_none() -> None:
    nova = "amazon.nova-lite-v1:0"
    assert PRICES.of_call("scripted.echo-v1:0", "", Usage(5), "") is None
    assert PRICES.of_call(nova, "", None, "") is None
    assert PRICES.of_call(nova, "", Usage(5), "flex") is None
    assert PRICES.of_call(nova, "", Usage(5), "default") is not None
    # the count of an incomplete answer
    assert PRICES.of_call(nova, "", Usage(5, 5, is_final=False), "") is None
    # an answer without token counts
    assert PRICES.of_call(nova, "", Usage(), "") is None
    # no source has the price of a cached token of this model
    assert PRICES.of_call("meta.llama3-3-70b-instruct-v1:0", "", Usage(5, 5, 1), "") is None


def test_a_deployment_s_own_prices_come_first() -> None:
    own = Prices({"amazon.nova-lite-v1:0": {"input": 1.0, "output": 2.0}, "my.model": {"input": 5.0, "output": 5.0}})
    assert own.of_call("amazon.nova-lite-v1:0", "", Usage(1_000_000), "") == 1.0
    assert own.of_call("my.model", "", Usage(1_000_000), "") == 5.0


def test_each_round_has_its_own_price() -> None:
    haiku, rounds = "global.anthropic.claude-haiku-5-5", (Usage(100_000), Usage(100_000))
    assert PRICES.of_call(haiku, "", Usage.of_rounds(rounds), "") == pytest.approx(0.02)
    llama = "meta.llama3-3-70b-instruct-v1:0"
    assert PRICES.of_call(llama, "", Usage.of_rounds((Usage(5), Usage(5, 5, 1))), "") is None


# litellm 1.110.2; AWS user guide, model cards (2026-10 and 2026-11)
@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("global.openai.gpt-5.4", Usage(100_000, 100_000), 0.25 + 1.5),
        ("openai.gpt-5.4", Usage(100_000), 0.275),
        ("us.openai.gpt-5.5", Usage(100_000), 0.55),
        ("global.openai.gpt-5.5", Usage(300_000, 100_000), 3.0 + 4.5),
        ("us.amazon.nova-2-pro-preview-20251202-v1:0", Usage(1_000_000), 1.375),
        ("global.anthropic.claude-mythos-5-1", Usage(1_000_000), 10.0),
        ("us.anthropic.claude-mythos-preview", Usage(0, 1_000_000), 137.5),
        ("anthropic.claude-3-haiku-20240307-v1:0", Usage(1_000_000, 1_000_000), 1.5),
        ("openai.gpt-5.6-cyber", Usage(1_000_000, 1_000_000), 96.25),
        ("openai.gpt-daybreak-blue-5.6-sol", Usage(1_000, 1_000), 0.0264),
        ("deepseek.v3.1", Usage(1_000_000), 0.58),
        ("moonshotai.kimi-k2-thinking", Usage(1_000_000), 0.6),
        ("us.cohere.embed-v4:0", Usage(1_000_000), 0.12),
        ("cohere.embed-multilingual-v3", Usage(1_000_000), 0.1),
        ("amazon.titan-embed-image-v1", Usage(1_000_000), 0.8),
        ("mistral.mistral-large-2407-v1:0", Usage(1_000_000), 2.0),
    ],
)
def test_prices_that_were_missing_or_wrong(model: str, usage: Usage, dollars: float) -> None:
    assert PRICES.of_call(model, "", usage, "") == pytest.approx(dollars, rel=1e-9)


def test_flex_costs_half_and_priority_three_quarters_more() -> None:
    usage = Usage(1_000_000)
    assert PRICES.of_call("amazon.nova-pro-v1:0", "", usage, "flex") == pytest.approx(0.4)
    assert PRICES.of_call("amazon.nova-pro-v1:0", "", usage, "priority") == pytest.approx(1.4)
    assert PRICES.of_call("openai.gpt-oss-120b-1:0", "", usage, "flex") == pytest.approx(0.075)
    assert PRICES.of_call("amazon.nova-pro-v1:0", "", usage, "reserved") is None
    # no source prices its tiers
    assert PRICES.of_call("us.openai.gpt-6.1-sol", "", usage, "flex") is None


def test_a_model_without_a_price_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    prices_ = Prices()
    for _ in range(2):
        assert prices_.of_call("new.model-v1:0", "", Usage(5), "") is None
        assert prices_.of_call("amazon.nova-pro-v1:0", "", Usage(5), "flex") is not None
    (record,) = caplog.records
    assert (record.levelname, record.__dict__["fields"]) == ("WARNING", {"model": "new.model-v1:0"})
    assert prices_.without_price(["new.model", "us.amazon.nova-pro-v1:0", "new.model"]) == ["new.model"]


def test_every_price_has_two_sources_and_a_date() -> None:
    document = json.loads(prices._FILE.read_bytes())
    assert document["version"] >= "2026-11-25"
    assert all("2026" in source for source in document["sources"])
    for base, row in document["models"].items():
        assert len(set(row["sources"])) >= 2, base
        assert max(row["sources"]) < len(document["sources"]), base
        assert 0 < row["input"] < 100, base
        assert 0 <= row["output"] < 200, base
        assert row.get("cache_read", 0) <= row["input"] <= row.get("cache_write", row["input"]), base
        assert row.get("cache_write", 0) <= row.get("cache_write_1h", 100), base
        assert parse_model_id(base).base == base


def test_an_application_profile_is_priced_as_its_model() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    usage = Usage(1_000_000)
    assert PRICES.of_call(arn, "amazon.nova-lite-v1:0", usage, "") == 0.06
    assert PRICES.of_call(arn, arn, usage, "") is None
    assert PRICES.of_call("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", usage, "") == 0.06
    assert PRICES.of_call("no model", "", usage, "") is None
    assert PRICES.of_call(arn, "", usage, "") is None


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
        "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc",
        "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abc",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/abc",
    ],
)
def test_capacity_that_is_not_billed_by_token_has_only_a_deployment_s_own_price(arn: str) -> None:
    behind, usage = "amazon.nova-lite-v1:0", Usage(1_000_000)
    assert PRICES.of_call(arn, behind, usage, "") is None
    assert Prices({arn: {"input": 7.0, "output": 1.0}}).of_call(arn, behind, usage, "") == 7.0


def test_a_deployment_s_own_price_of_an_application_profile_comes_first() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    own = Prices({arn: {"input": 7.0, "output": 1.0}})
    assert own.of_call(arn, "amazon.nova-lite-v1:0", Usage(1_000_000), "") == 7.0


def test_a_deployment_s_own_row_replaces_a_whole_row() -> None:
    base = "global.anthropic.claude-haiku-5-5"
    own = Prices({"anthropic.claude-haiku-5-5": {"input": 1.0, "output": 1.0}})
    assert own.of_call(base, "", Usage(1_000_000), "") == 1.0
    assert own.of_call(base, "", Usage(1, 1, 1), "") is None
