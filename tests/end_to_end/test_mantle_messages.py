"""Anthropic's Messages on mantle: models that only mantle has, and counts of tokens."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from app.dialects.http.token_counting import estimate_tokens
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, gateway, http_reply, read_request, serving, upstream

MYTHOS, OPUS = "anthropic.claude-mythos-5", "us.anthropic.claude-opus-4-8"
HELLO: Any = [{"role": "user", "content": "hi"}]
HEADERS = {"x-api-key": KEY}


@pytest.fixture
def client(url: str, recorder: RecordingBedrock) -> Iterator[anthropic.Anthropic]:
    recorder.requests.clear()
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as made:
        yield made


def test_mythos_is_called_by_messages_on_mantle(client: anthropic.Anthropic, recorder: RecordingBedrock) -> None:
    tools: Any = [{"name": "look", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}}]
    given: Any = {"model": MYTHOS, "max_tokens": 99, "messages": HELLO, "tools": tools}
    beta = "interleaved-thinking-2025-05-14"
    whole = client.messages.create(**given, extra_headers={"anthropic-beta": f"{beta},novel"})
    (request,) = recorder.requests
    assert (request.service, request.path, request.body["model"]) == (
        "bedrock-mantle",
        "/anthropic/v1/messages",
        MYTHOS,
    )
    assert (request.headers["anthropic-version"], request.headers["anthropic-beta"]) == ("2026-10-21", beta)
    assert request.body.keys() & {"anthropic_version", "anthropic_beta", "stream"} == set()
    with client.messages.stream(**given) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert recorder.requests[-1].body["stream"] is True
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    for message in (whole, final):
        assert (message.model, message.stop_reason) == (MYTHOS, "tool_use")
        assert [block.type for block in message.content][-1] == "tool_use"
        assert message.usage.output_tokens > 0
    assert whole.content[-1].model_dump(exclude={"id"}) == final.content[-1].model_dump(exclude={"id"})


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("throttle", 429, "rate_limit_error"),
        ("unavailable", 529, "overloaded_error"),
        ("denied", 403, "permission_error"),
        ("garbage", 502, "api_error"),
    ],
)
def test_faults_of_mantle_reach_the_caller(url: str, fault: str, status: int, kind: str) -> None:
    body = {"model": f"{MYTHOS}:0.{fault}", "max_tokens": 9, "messages": HELLO, "stream": True}
    answer = httpx.post(f"{url}/v1/messages", json=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


def test_tokens_of_newer_claudes_are_counted_on_mantle(client: anthropic.Anthropic, recorder: RecordingBedrock) -> None:
    system: Any = "be brief"
    for model in (OPUS, "us.anthropic.claude-sonnet-5", MYTHOS):
        recorder.requests.clear()
        count = client.messages.with_raw_response.count_tokens(model=model, messages=HELLO, system=system)
        (request,) = recorder.requests
        assert request.path == "/anthropic/v1/messages/count_tokens"
        assert request.service == "bedrock-mantle"
        assert request.body == {"model": model.removeprefix("us."), "messages": HELLO, "system": system}
        assert count.parse().input_tokens > 0
        assert "x-outcrop-estimated" not in count.headers
    client.messages.count_tokens(model="us.anthropic.claude-sonnet-4-5-20250929-v1:0", messages=HELLO)
    assert recorder.requests[-1].path.endswith("/count-tokens")


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "401 Unauthorized"])
def test_tokens_are_estimated_where_mantle_is_not_to_be_had(status: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(b'{"type":"error","error":{"type":"novel","message":"no"}}', status))
        await writer.drain()

    body = {"model": OPUS, "messages": HELLO}
    with upstream(handle) as bedrock, gateway(bedrock, bedrock_max_attempts=1) as url:
        answer = httpx.post(f"{url}/v1/messages/count_tokens", json=body, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (200, {"input_tokens": estimate_tokens(body)})
    assert answer.headers["x-outcrop-estimated"] == "input_tokens"


def test_tokens_are_estimated_where_mantle_is_not_used(recorder: RecordingBedrock) -> None:
    recorder.requests.clear()
    with serving(recorder) as bedrock, gateway(bedrock, native_surfaces="invoke") as base:
        body = {"model": OPUS, "messages": HELLO}
        answer = httpx.post(f"{base}/v1/messages/count_tokens", json=body, headers=HEADERS)
    assert answer.headers["x-outcrop-estimated"] == "input_tokens"
    assert [each.service for each in recorder.requests] == ["bedrock"]
