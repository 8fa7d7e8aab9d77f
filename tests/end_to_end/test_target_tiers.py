"""Targets of a route with a service tier: what is sent to each surface, and when the tier of a target is tried."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Records
from tests.servers import KEY, gateway, http_reply, read_request, upstream

pytestmark = pytest.mark.loopback

CLAUDE, NOVA, GPT = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-pro-v1:0", "openai.gpt-oss-120b-1:0"
BUSY = http_reply(b'{"message":"no capacity"}', "503 Busy", extra="x-amzn-errortype: ServiceUnavailableException\r\n")
REPLY = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12},
    "metrics": {"latencyMs": 1},
}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
Seen = list[tuple[str, str, dict[str, Any]]]


def busy(seen: Seen, *, answers: bool = False) -> Any:
    """Return what has no capacity, and notes the path, the tier in the header and the body of each request.

    answers: it answers all the same.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            lines = head.decode().lower().split("\r\n")
            tiers = [line.partition(": ")[2] for line in lines if line.startswith("x-amzn-bedrock-service-tier: ")]
            if body:
                seen.append((lines[0].split(" ")[1], "".join(tiers), json.loads(body)))
            writer.write(http_reply(json.dumps(REPLY).encode()) if answers else BUSY)
            await writer.drain()

    return answer


def sent(model: str, path: str, body: dict[str, Any], records: Records) -> Seen:
    """Return what is sent for a call of a route: to a model, and then to the same with the tier `priority`."""
    targets = f'{{ model = "{model}" }}, {{ model = "{model}", tier = "priority" }}'
    seen: Seen = []
    toml = f"[routes.smart]\ntargets = [{targets}]\n"
    with upstream(busy(seen)) as at, gateway(at, records, config_toml=toml, bedrock_max_attempts=1) as url:
        answer = httpx.post(url + path, json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
        assert answer.status_code >= 500, answer.text
        assert records.by_id(answer.headers["x-request-id"]).has_moved
    return seen


@pytest.mark.parametrize("stream", [False, True])
def test_converse_gets_the_tier_in_its_body(records: Records, stream: bool) -> None:
    first, second = sent(NOVA, "/v1/chat/completions", {**CHAT, "model": "smart", "stream": stream}, records)
    assert first[0] == second[0]
    assert "/converse" in first[0]
    assert "serviceTier" not in first[2]
    assert second[2] == {**first[2], "serviceTier": {"type": "priority"}}


def test_the_tier_is_logged_and_charged(records: Records) -> None:
    seen: Seen = []
    toml = f'[routes.smart]\ntargets = [{{ model = "{NOVA}", tier = "priority" }}]\n'
    with upstream(busy(seen, answers=True)) as at, gateway(at, records, config_toml=toml) as url:
        answer = httpx.post(
            f"{url}/v1/chat/completions", json={**CHAT, "model": "smart"}, headers={"x-api-key": KEY}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        record = records.by_id(answer.headers["x-request-id"])
    assert (record.tier, record.has_moved) == ("priority", False)
    assert record.cost == pytest.approx(1.75 * (10 * 0.8 + 2 * 3.2) / 1e6), "1.75 times the price"


def test_invoke_model_gets_it_in_a_header(records: Records) -> None:
    first, second = sent(CLAUDE, "/v1/messages", {**CHAT, "model": "smart"}, records)
    assert first[0].endswith("/invoke")
    assert (first[1], second[1]) == ("", "priority")
    assert first[2] == second[2]


def test_openai_s_api_gets_it_as_openai_spells_it(records: Records) -> None:
    first, second = sent(GPT, "/v1/responses", {"input": "hi", "model": "smart"}, records)
    assert first[0].endswith("/v1/responses")
    assert second[2] == {**first[2], "service_tier": "priority"}


def test_the_tier_that_a_call_requests_comes_first(records: Records) -> None:
    body = {**CHAT, "model": "smart", "service_tier": "flex"}
    first, second = sent(NOVA, "/v1/chat/completions", body, records)
    assert first[2]["serviceTier"] == second[2]["serviceTier"] == {"type": "flex"}
