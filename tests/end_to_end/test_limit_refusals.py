"""How unmodified SDKs take the refusals of limits and budgets, and what the headers of answers tell them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.storage.schema import prepare_schema
from tests.databases import opened
from tests.end_to_end.conftest import Records, boto_client
from tests.governed import MODEL, PEPPER, PRICES, PROMPT, add_key, limit, money
from tests.servers import gateway
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.slow]

MESSAGES: Any = [{"role": "user", "content": PROMPT}]
SLOW = f"{MODEL}.slow-1500"
# of two tokens
COST = 0.002
ROUTES = f"""
[prices."scripted.tools-v1:0"]
input = 0
output = 5000000
[prices."{MODEL}.throttle-1"]
input = 0
output = 1000
[routes.unpriced]
targets = [{{ model = "scripted.thinking-v1:0" }}, {{ model = "{MODEL}" }}]
[routes.dear]
targets = [{{ model = "scripted.tools-v1:0" }}, {{ model = "{MODEL}" }}]
[routes.failing]
targets = [{{ model = "{MODEL}.throttle-1" }}, {{ model = "scripted.tools-v1:0" }}]
[routes.all_dear]
targets = [{{ model = "scripted.thinking-v1:0" }}, {{ model = "scripted.tools-v1:0" }}]
"""


class Deployment:
    """A gateway with a database. key: adds a key with rules of its own; returns its id and its secret."""

    def __init__(self, url: str, database: str, records: Records) -> None:
        self.url, self.records, self._database = url, records, database

    def key(self, *rules: Any) -> tuple[str, str]:
        async def add() -> tuple[str, str]:
            async with opened(self._database) as database:
                key, secret = await add_key(database, *rules)
                return key.id, secret

        return asyncio.run(add())

    def statuses(self, key_id: str, count: int = 1) -> list[int]:
        """Return the statuses of the requests of a key, in the order of their beginning, once there are as many."""

        def found() -> list[Any]:
            return [record for record in self.records.all if record.caller == key_id]

        wait_until(lambda: len(found()) >= count)  # a request is recorded after its answer was sent
        return [record.status for record in sorted(found(), key=lambda each: each.started)]


@pytest.fixture(scope="module")
def deployment(emulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder: Path = tmp_path_factory.mktemp("governed")
    database, records = f"sqlite:///{folder}/outcrop.db", Records()

    async def prepare() -> None:
        async with opened(database) as found:
            await prepare_schema(found, migrate=False)

    asyncio.run(prepare())
    options = {"database_url": database, "key_pepper": PEPPER, "config_toml": PRICES + ROUTES}
    with gateway(emulator_url, records, **options) as url:
        yield Deployment(url, database, records)


@contextmanager
def busy(url: str, secret: str) -> Iterator[None]:
    """Keep the one parallel request of a key for a while."""
    import httpx

    def ask() -> None:
        body = {"model": SLOW, "messages": MESSAGES, "max_tokens": 2}
        httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {secret}"}, timeout=30)

    thread = threading.Thread(target=ask)
    thread.start()
    # this one itself, and that of the thread
    wait_until(lambda: "\noutcrop_in_flight 2.0\n" in httpx.get(f"{url}/metrics").text)
    time.sleep(0.3)
    try:
        yield
    finally:
        thread.join()


def test_openai_retries_a_limit_and_not_a_budget(deployment: Deployment) -> None:
    import openai

    key_id, secret = deployment.key(limit("max_parallel_requests", 1))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret) as client, busy(deployment.url, secret):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    assert 429 in deployment.statuses(key_id, 3)
    assert deployment.statuses(key_id, 3).count(200) == 2
    key_id, secret = deployment.key(money(COST))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret) as client:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model=MODEL, input=PROMPT, max_output_tokens=2)
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.message.startswith("Error code: 429 - spend limit reached (total): this call may cost $")
    assert deployment.statuses(key_id, 3) == [200, 429, 429]


def test_anthropic_retries_a_limit_and_not_a_budget(deployment: Deployment) -> None:
    import anthropic

    key_id, secret = deployment.key(limit("max_parallel_requests", 1))
    with anthropic.Anthropic(base_url=deployment.url, api_key=secret) as client, busy(deployment.url, secret):
        client.messages.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    assert 429 in deployment.statuses(key_id, 3)
    key_id, secret = deployment.key(money(COST, period="day"))
    with anthropic.Anthropic(base_url=deployment.url, api_key=secret) as client:
        client.messages.create(model=MODEL, messages=MESSAGES, max_tokens=2)
        with pytest.raises(anthropic.RateLimitError) as refused:
            client.messages.create(model=MODEL, messages=MESSAGES, max_tokens=2)
        assert client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens > 0
    body: Any = refused.value.body
    assert body["error"]["type"] == "billing_error"
    assert body["error"]["message"].startswith("spend limit reached (daily; resets ")
    headers = refused.value.response.headers
    assert (headers["x-should-retry"], headers["anthropic-ratelimit-unified-status"]) == ("false", "rejected")
    assert 0 < int(headers["retry-after"]) <= 86_400
    assert deployment.statuses(key_id, 3) == [200, 429, 200]


def test_boto3_retries_a_limit_and_not_a_budget(deployment: Deployment) -> None:
    from botocore.exceptions import ClientError

    call: Any = {
        "modelId": MODEL,
        "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
        "inferenceConfig": {"maxTokens": 2},
    }
    retries = {"mode": "standard", "total_max_attempts": 5}
    key_id, secret = deployment.key(limit("max_parallel_requests", 1))
    with boto_client(deployment.url, name=key_id, secret=secret, retries=retries) as client:
        with busy(deployment.url, secret):
            client.converse(**call)
    assert 429 in deployment.statuses(key_id)
    key_id, secret = deployment.key(money(COST))
    with boto_client(deployment.url, name=key_id, secret=secret, retries=retries) as client:
        client.converse(**call)
        with pytest.raises(ClientError) as refused:
            client.converse(**call)
    assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert deployment.statuses(key_id, 2) == [200, 400]


def test_a_websocket_gets_an_event(deployment: Deployment) -> None:
    import json

    from websockets.sync.client import connect

    _, secret = deployment.key(money(0.0))
    url = deployment.url.replace("http", "ws") + "/v1/responses"
    with connect(url, additional_headers={"authorization": f"Bearer {secret}"}) as socket:
        socket.send(json.dumps({"type": "response.create", "model": MODEL, "input": PROMPT, "max_output_tokens": 2}))
        event = json.loads(socket.recv(timeout=30))
    assert event["type"] == "error"
    assert "insufficient_quota" in json.dumps(event)


def test_answers_tell_what_is_left(deployment: Deployment) -> None:
    import anthropic
    import openai

    rules = [limit("requests_per_minute", 2), limit("tokens_per_minute", 60_000), money(8 * COST / 7, period="week")]
    _, secret = deployment.key(*rules)
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret) as client:
        headers = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=2).headers
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert int(headers["x-ratelimit-remaining-requests"]) == 1
    assert headers["x-ratelimit-reset-requests"] in ("30s", "29s", "0ms")
    assert headers["x-ratelimit-limit-tokens"] == "60000"
    assert "anthropic-ratelimit-unified-status" not in headers
    with anthropic.Anthropic(base_url=deployment.url, api_key=secret, max_retries=0) as client:  # type: ignore[assignment]
        with pytest.raises(anthropic.RateLimitError) as refused:
            client.messages.create(model=MODEL, messages=MESSAGES, max_tokens=2)  # type: ignore[attr-defined]
    headers = refused.value.response.headers  # type: ignore[assignment]
    assert headers["anthropic-ratelimit-requests-limit"] == "2"
    assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    # a little is left of the budget, and this call needs more
    assert (
        headers["anthropic-ratelimit-unified-status"] == headers["anthropic-ratelimit-unified-7d-status"] == "rejected"
    )
    assert headers["anthropic-ratelimit-unified-7d-surpassed-threshold"] == "0.75"
    assert headers["anthropic-ratelimit-unified-representative-claim"] == "seven_day"


def test_rules_that_refuse_nothing_are_counted(deployment: Deployment) -> None:
    import httpx
    import openai

    key_id, secret = deployment.key(limit("requests_per_minute", 1, shadow=True), money(COST, action="warn"))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret) as client:
        for _ in range(3):
            client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)
    assert deployment.statuses(key_id, 3) == [200, 200, 200]
    exceeded = [each.exceeded for each in deployment.records.all if each.caller == key_id]
    assert (list(exceeded[0]), sorted(exceeded[-1])) == ([], ["budget", "requests_per_minute"])
    metrics = httpx.get(f"{deployment.url}/metrics").text
    assert 'outcrop_limits_exceeded_total{kind="requests_per_minute"} 2.0' in metrics


@pytest.mark.parametrize("route", ["unpriced", "dear"])
def test_a_route_goes_on_to_the_target_that_a_budget_can_pay(deployment: Deployment, route: str) -> None:
    import openai

    key_id, secret = deployment.key(money(2 * COST), limit("requests_per_minute", 1))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret, max_retries=0) as client:
        answer = client.chat.completions.create(model=route, messages=MESSAGES, max_tokens=2)
        assert answer.choices[0].message.content
        # the request counts once
        with pytest.raises(openai.RateLimitError, match="1 requests per minute"):
            client.chat.completions.create(model=route, messages=MESSAGES, max_tokens=2)
    assert deployment.statuses(key_id, 2) == [200, 429]


def test_a_throttled_target_is_tried_again_if_a_budget_cannot_pay_the_other(deployment: Deployment) -> None:
    import openai

    _, secret = deployment.key(money(COST))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret, max_retries=0) as client:
        assert client.chat.completions.create(model="failing", messages=MESSAGES, max_tokens=2).choices


def test_a_route_whose_targets_a_budget_cannot_pay_is_refused(deployment: Deployment) -> None:
    import openai

    _, secret = deployment.key(money(COST))
    with openai.OpenAI(base_url=f"{deployment.url}/v1", api_key=secret, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="more than the limit itself: lower its max_tokens") as refused:
            client.chat.completions.create(model="all_dear", messages=MESSAGES, max_tokens=2)
    assert refused.value.code == "insufficient_quota"
