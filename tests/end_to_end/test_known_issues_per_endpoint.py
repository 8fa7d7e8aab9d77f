"""Known issues (see test_known_issues.py) that each endpoint must be tested for."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.end_to_end.conftest import Records
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, gateway, http_reply, read_request, serving, upstream

pytestmark = pytest.mark.waits

HEADERS = {"authorization": f"Bearer {KEY}"}
ECHO, CLAUDE = "scripted.echo-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA, LLAMA, GPT = "us.amazon.nova-2-lite-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0", "openai.gpt-oss-120b-1:0"
HI: Any = [{"role": "user", "content": "hi"}]

Body = Callable[[str], Any]
CHAT: tuple[str, Body] = ("/v1/chat/completions", lambda model: {"model": model, "messages": HI})
RESPONSES: tuple[str, Body] = ("/v1/responses", lambda model: {"model": model, "input": "hi"})
MESSAGES: tuple[str, Body] = ("/v1/messages", lambda model: {"model": model, "messages": HI, "max_tokens": 9})


def answering(status: str, body: bytes, extra: str = "") -> Any:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(body, status, extra=extra))
        await writer.drain()

    return upstream(handle)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("endpoint", "model"), [(CHAT, NOVA), (RESPONSES, NOVA), (MESSAGES, NOVA), (MESSAGES, CLAUDE)])
@pytest.mark.parametrize(("header", "expected"), [("retry-after: 7\r\n", "7"), ("", "1")])
def test_throttling_says_when_to_retry(
    endpoint: tuple[str, Body], model: str, streamed: bool, header: str, expected: str
) -> None:
    path, body = endpoint
    extra = f"x-amzn-errortype: ThrottlingException\r\n{header}"
    with answering("429 Too Many Requests", b'{"message":"slow down"}', extra) as url, gateway(url) as base:
        answer = httpx.post(base + path, json={**body(model), "stream": streamed}, headers=HEADERS, timeout=20)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, expected)
    assert "slow down" in answer.text


@pytest.mark.parametrize(
    ("endpoint", "model", "sign"),
    [
        (CHAT, ECHO, ": still here"),
        (RESPONSES, ECHO, ": still here"),
        (MESSAGES, ECHO, "event: ping"),
        (MESSAGES, CLAUDE, "event: ping"),
    ],
)
def test_silence_in_a_stream_is_filled_with_heartbeats(
    emulator_url: str, endpoint: tuple[str, Body], model: str, sign: str
) -> None:
    path, body = endpoint
    request = {**body(f"{model}.drip-200"), "stream": True}
    with gateway(emulator_url, heartbeat_interval=0.05) as base:
        frames = httpx.post(base + path, json=request, headers=HEADERS, timeout=20).text
    first = frames.index("event: message_start" if path == MESSAGES[0] else "data: ")
    assert frames[first:].count(sign) > 3


# Bedrock's own limit for Claude is 4,096 tokens, its reasoning included (litellm#41529)
@pytest.mark.parametrize(("model", "gets_a_limit"), [(NOVA, False), (LLAMA, False), (CLAUDE, True), (GPT, False)])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize("effort", [None, "low", "high"])
def test_only_claude_gets_an_output_limit_that_the_caller_did_not_set(
    endpoint: tuple[str, Body], model: str, gets_a_limit: bool, effort: str | None
) -> None:
    path, body = endpoint
    thinking = {"reasoning_effort": effort} if path == CHAT[0] else {"reasoning": {"effort": effort}}
    recorder = RecordingBedrock()
    with serving(recorder) as url, gateway(url) as base:
        request = {**body(model), **(thinking if effort else {})}
        assert httpx.post(base + path, json=request, headers=HEADERS, timeout=20).status_code == 200
    sent = recorder.requests[-1].body
    limits = {"maxTokens", "max_tokens", "max_output_tokens"} & {*sent, *sent.get("inferenceConfig", {})}
    assert limits == ({"maxTokens"} if gets_a_limit else set())
    budget = sent.get("additionalModelRequestFields", {}).get("thinking", {}).get("budget_tokens", 0)
    assert not gets_a_limit or sent["inferenceConfig"]["maxTokens"] > max(budget, 4096)


# prices of Claude Sonnet 4.5 by a US profile: USD per million tokens, and the factor for the region
INPUT, OUTPUT, READ, WRITTEN, WRITTEN_1H, REGIONAL = 3.0, 15.0, 0.3, 3.75, 6.0, 1.1
COST = (100 * INPUT + 10 * OUTPUT + 1000 * READ + 200 * WRITTEN + 300 * WRITTEN_1H) * REGIONAL / 1e6
DETAILS = [{"ttl": "5m", "inputTokens": 200}, {"ttl": "1h", "inputTokens": 300}]
CONVERSE_USAGE = {
    "inputTokens": 100,
    "outputTokens": 10,
    "totalTokens": 1610,
    "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 500,
    "cacheDetails": DETAILS,
}
REPLY = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
        "stopReason": "end_turn",
        "usage": CONVERSE_USAGE,
    }
)
MESSAGE: Any = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
    },
}
COUNTS = "".join(
    f"x-amzn-bedrock-{name}-token-count: {count}\r\n"
    for name, count in (("input", 100), ("output", 10), ("cache-read-input", 1000), ("cache-write-input", 500))
)


@pytest.mark.parametrize(
    ("path", "body", "reply", "extra"),
    [
        (*CHAT, REPLY, ""),
        (*RESPONSES, REPLY, ""),
        (f"/model/{CLAUDE}/converse", lambda _: {"messages": []}, REPLY, ""),
        (*MESSAGES, json.dumps(MESSAGE), COUNTS),
        (f"/model/{CLAUDE}/invoke", lambda _: {"messages": []}, json.dumps(MESSAGE), COUNTS),
    ],
)
def test_one_hour_cache_writes_have_their_own_price(path: str, body: Body, reply: bytes, extra: str) -> None:
    records = Records()
    with answering("200 OK", reply, extra) as url, gateway(url, records) as base:
        answer = httpx.post(base + path, json=body(CLAUDE), headers=HEADERS, timeout=20)
        assert answer.status_code == 200
        assert records.by_id(answer.headers["x-request-id"]).cost == pytest.approx(COST)


def test_one_hour_cache_writes_have_their_own_price_in_a_native_stream() -> None:
    from tests.bedrock.test_stream_decoding import event_frame

    start = {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}}
    events = [start, delta, {"type": "message_stop"}]
    frames = b"".join(event_frame("chunk", {"bytes": b64encode(json.dumps(each)).decode()}) for each in events)
    records = Records()
    kind = "content-type: application/vnd.amazon.eventstream\r\n"
    with answering("200 OK", frames, kind) as url, gateway(url, records) as base:
        request = {**MESSAGES[1](CLAUDE), "stream": True}
        answer = httpx.post(base + MESSAGES[0], json=request, headers=HEADERS, timeout=20)
        assert answer.text.count("event: message_stop") == 1
        assert records.by_id(answer.headers["x-request-id"]).cost == pytest.approx(COST)


def test_embeddings_by_application_profile_are_handled_as_their_model() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    titan = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        reply = {"models": [{"modelArn": titan}]} if b"/inference-profiles/" in head else {"embedding": [0.5]}
        writer.write(http_reply(json.dumps(reply)))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        answer = httpx.post(f"{base}/v1/embeddings", json={"model": arn, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["data"][0]["embedding"]) == (200, [0.5])


@pytest.mark.parametrize("vector", [[], [None], ["a"], [[1]], [1e39]])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_malformed_embedding_is_a_502(vector: Any, encoding: str) -> None:
    body = {"model": "amazon.titan-embed-text-v2:0", "input": "x", "encoding_format": encoding}
    with answering("200 OK", json.dumps({"embedding": vector})) as url, gateway(url) as base:
        assert httpx.post(f"{base}/v1/embeddings", json=body, headers=HEADERS).status_code == 502


@pytest.mark.parametrize("url", ["DATA:image/png;base64,aGk=", "data:IMAGE/PNG;BASE64,aGk="])
def test_data_url_is_accepted_in_any_case(emulator_url: str, url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": ECHO, "messages": [{"role": "user", "content": content}]}
    with gateway(emulator_url) as base:
        assert httpx.post(f"{base}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200


def test_alias_that_equals_a_model_id_is_listed_once(emulator_url: str) -> None:
    name = "us.anthropic.claude-sonnet-4-6"
    config = f'[aliases]\n"{name}" = "global.anthropic.claude-sonnet-4-6"\n'
    with gateway(emulator_url, config_toml=config) as base:
        listed = [each["id"] for each in httpx.get(f"{base}/v1/models", headers=HEADERS).json()["data"]]
    assert listed.count(name) == 1
    assert len(set(listed)) == len(listed)


def test_stored_conversation_counts_against_the_body_limits(emulator_url: str) -> None:
    items = [{"role": "user", "content": "x" * 1000} for _ in range(300)]
    limits: dict[str, Any] = {"max_body_bytes": 1_300_000, "max_bodies_bytes": 1_300_000}
    with gateway(emulator_url, **limits) as base, httpx.Client(base_url=base, headers=HEADERS) as client:
        first = client.post("/v1/responses", json={"model": ECHO, "input": items}).json()
        again = {"model": ECHO, "input": "and now", "previous_response_id": first["id"], "store": False}
        assert client.post("/v1/responses", json=again).json()["output"][0]["content"][0]["text"] == "and now"
        second = client.post("/v1/responses", json={**again, "input": items, "store": True}).json()
        refused = client.post("/v1/responses", json={**again, "previous_response_id": second["id"]})
    assert (refused.status_code, "refers to have more than 1300000 bytes" in refused.text) == (413, True)
