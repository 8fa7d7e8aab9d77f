"""What requests cost, as `/metrics` tells, for the models whose price was wrong or missing."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.end_to_end.accepting import REPLIES, TOKENS, USER, AcceptingBedrock, SentRequest
from tests.servers import gateway, upstream

# USD for a million tokens of input and of output, from the sources in app/models/prices.json; embeddings have no output
PRICES: dict[str, tuple[float, float]] = {
    "global.openai.gpt-5.4": (2.5, 15),
    "us.openai.gpt-5.4": (2.75, 16.5),
    "global.openai.gpt-5.5": (5, 30),
    "us.openai.gpt-5.5": (5.5, 33),
    "global.amazon.nova-2-pro-preview-20251202-v1:0": (1.25, 10),
    "us.amazon.nova-2-pro-preview-20251202-v1:0": (1.375, 11),
    "global.anthropic.claude-mythos-5-1": (10, 50),
    "anthropic.claude-3-haiku-20240307-v1:0": (0.25, 1.25),
    "openai.gpt-5.6-cyber": (13.75, 82.5),
    "openai.gpt-daybreak-blue-5.6-sol": (4.4, 22),
    "deepseek.v3.1": (0.58, 1.68),
    "moonshotai.kimi-k2-thinking": (0.6, 2.5),
    "mistral.mistral-large-2407-v1:0": (2, 6),
}
EMBEDDINGS = {"amazon.titan-embed-image-v1": 0.8}


LONG = 300_000


class TieredBedrock(AcceptingBedrock):
    """Names the service tier that a request wants, and counts a request that says `long` as a long one."""

    def reply(self, request: SentRequest) -> Any:
        if request.path.endswith("/responses") and "long" in str(request.body["input"]):
            usage = {"input_tokens": LONG, "output_tokens": TOKENS, "total_tokens": LONG + TOKENS}
            return {**REPLIES["/responses"], "usage": usage}
        if "serviceTier" in request.body:
            return {**REPLIES["/converse"], "serviceTier": request.body["serviceTier"]}
        return super().reply(request)


@pytest.fixture(scope="module")
def bedrock() -> Iterator[AcceptingBedrock]:
    made = TieredBedrock()
    with upstream(made.handle) as address, gateway(address) as made.url:
        yield made


def cost_of(bedrock: AcceptingBedrock, path: str, **body: Any) -> float:
    """Send a request; return what it added to the costs, in USD."""
    before = _total(bedrock)
    answer, _ = bedrock.send(path, **body)
    assert answer.status_code == 200, answer.text
    return _total(bedrock) - before


def _total(bedrock: AcceptingBedrock) -> float:
    text = httpx.get(f"{bedrock.url}/metrics").text
    return sum(float(value) for value in re.findall(r"(?m)^outcrop_cost_usd_total\{.*\} (\S+)$", text))


@pytest.mark.parametrize(("model", "prices"), PRICES.items(), ids=PRICES)
def test_a_call_has_the_price_of_its_model(bedrock: AcceptingBedrock, model: str, prices: tuple[float, float]) -> None:
    path = "/v1/chat/completions"
    assert cost_of(bedrock, path, model=model, messages=[USER]) == pytest.approx(sum(prices) * TOKENS / 1e6)


@pytest.mark.parametrize(("model", "price"), EMBEDDINGS.items(), ids=EMBEDDINGS)
def test_an_embedding_has_the_price_of_its_model(bedrock: AcceptingBedrock, model: str, price: float) -> None:
    assert cost_of(bedrock, "/v1/embeddings", model=model, input="hi") == pytest.approx(price * TOKENS / 1e6)


@pytest.mark.parametrize(("tier", "factor"), [("flex", 0.5), ("priority", 1.75)])
def test_a_service_tier_has_its_price(bedrock: AcceptingBedrock, tier: str, factor: float) -> None:
    """AWS, service tiers; litellm 1.110.2. On 965aba3 it had none."""
    body = {"model": "global.amazon.nova-2-lite-v1:0", "messages": [USER], "service_tier": tier}
    assert cost_of(bedrock, "/v1/chat/completions", **body) == pytest.approx(2.8 * factor * TOKENS / 1e6)


def test_a_long_input_has_its_own_price(bedrock: AcceptingBedrock) -> None:
    """AWS, card of GPT-5.5: above 272,000 tokens twice the price of input, and half as much again of output."""
    body = {"model": "global.openai.gpt-5.5", "input": "long"}
    assert cost_of(bedrock, "/v1/responses", **body) == pytest.approx((10 * LONG + 45 * TOKENS) / 1e6)
