"""A model that needs an inference profile is called by the profile of the region when the caller names its base id."""

import asyncio
import dataclasses
from typing import Any

import anthropic
import httpx
import openai
import pytest

from app.emulator import catalog
from app.wire import json
from tests.end_to_end.conftest import Records
from tests.servers import KEY, emulator_app, gateway, http_reply, read_request, serving, upstream

SONNET, NOVA = "anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-2-lite-v1:0"
HEADERS = {"authorization": f"Bearer {KEY}"}
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("model", [SONNET, NOVA])
@pytest.mark.parametrize("streamed", [False, True])
def test_profile_is_found_reported_and_cached(model: str, streamed: bool) -> None:
    records = Records()
    with serving(emulator_app()) as bedrock, gateway(bedrock, records) as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            for attempts in (2, 1):
                answer = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, stream=streamed)
                assert "inference_profile" in answer.headers["x-outcrop-adjusted"].split(", ")
                if streamed:
                    list(answer.parse())
                record = records.by_id(answer.headers["x-request-id"])
                assert (record.model, record.target, record.attempts) == (model, f"us.{model}", attempts)
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as claude:
            raw = claude.messages.with_raw_response.create(model=model, max_tokens=9, messages=HELLO)
            assert raw.parse().model == model
            assert "inference_profile" in raw.headers["x-outcrop-adjusted"]


def test_native_calls_use_the_profile() -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as claude:
            raw = claude.messages.with_raw_response.create(model=SONNET, max_tokens=9, messages=HELLO)
        assert raw.headers["x-outcrop-adjusted"] == "inference_profile"


def test_bedrock_dialect_returns_the_error_of_bedrock() -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        body = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
        refused = httpx.post(f"{url}/model/{SONNET}/converse", json=body, headers=HEADERS)
    assert refused.status_code == 400
    assert "on-demand throughput" in refused.json()["message"]


@pytest.mark.parametrize("lists", ["none", "broken", "narrowest"])
def test_narrowest_profile_is_called_and_without_one_the_error_is_returned(lists: str) -> None:
    called: list[str] = []
    text_model = {"modelId": NOVA, "outputModalities": ["TEXT"], "inferenceTypesSupported": ["INFERENCE_PROFILE"]}
    profiles = [
        {
            "inferenceProfileId": f"{geography}.{NOVA}",
            "type": "SYSTEM_DEFINED",
            "status": "ACTIVE",
            "models": [{"modelArn": f"arn:aws:bedrock:ap-northeast-1::foundation-model/{NOVA}"}],
        }
        for geography in ("global", "apac", "jp")
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        path = head.split()[1].decode()
        if path.startswith("/model/"):
            called.append(path)
        if path.startswith("/model/jp"):
            message = {"role": "assistant", "content": [{"text": "hi"}]}
            usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
            reply = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}
            writer.write(http_reply(json.dumps(reply)))
        elif path.startswith("/model/"):
            error = {"message": "Invocation with on-demand throughput isn\u2019t supported."}
            extra = "x-amzn-errortype: ValidationException\r\n"
            writer.write(http_reply(json.dumps(error), "400 Bad Request", extra=extra))
        elif lists == "broken":
            writer.write(http_reply(b"{}", "403 Forbidden", extra="x-amzn-errortype: AccessDeniedException\r\n"))
        elif path.startswith("/foundation-models"):
            writer.write(http_reply(json.dumps({"modelSummaries": [text_model]})))
        else:
            listed = profiles if lists == "narrowest" else []
            writer.write(http_reply(json.dumps({"inferenceProfileSummaries": listed})))
        await writer.drain()
        writer.close()

    with upstream(answer) as bedrock, gateway(bedrock) as url:
        body = {"model": NOVA, "messages": HELLO}
        response = httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS)
    if lists == "narrowest":
        assert response.status_code == 200
        assert [path.split("/")[2].partition(".")[0] for path in called] == ["amazon", "jp"]
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
        assert "on-demand throughput" in response.json()["error"]["message"]
        # without lists, the profile of the region's geography is tried
        assert len(called) == (2 if lists == "broken" else 1)


def test_profile_is_cached_only_while_its_calls_succeed() -> None:
    called: list[str] = []
    profile_works = [False, True, False, True]

    def reply(body: bytes | str, status: str = "200 OK", *, extra: str = "") -> bytes:
        return http_reply(body, status, extra=f"connection: close\r\n{extra}")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        path = head.split()[1].decode()
        if path.startswith("/model/"):
            called.append(path.split("/")[2].partition(".")[0])
        if path.startswith("/model/us") and profile_works.pop(0):
            message = {"role": "assistant", "content": [{"text": "hi"}]}
            usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
            writer.write(reply(json.dumps({"output": {"message": message}, "stopReason": "end_turn", "usage": usage})))
        elif path.startswith("/model/us"):
            writer.write(reply(b"{}", "403 Forbidden", extra="x-amzn-errortype: AccessDeniedException\r\n"))
        elif path.startswith("/model/"):
            error = {"message": "Invocation with on-demand throughput isn\u2019t supported."}
            writer.write(reply(json.dumps(error), "400 Bad Request", extra="x-amzn-errortype: ValidationException\r\n"))
        elif path.startswith("/foundation-models"):
            writer.write(reply(b"{}"))
        else:
            profile = {"inferenceProfileId": f"us.{NOVA}", "type": "SYSTEM_DEFINED", "status": "ACTIVE"}
            writer.write(reply(json.dumps({"inferenceProfileSummaries": [profile]})))
        await writer.drain()
        writer.close()

    with upstream(answer) as bedrock, gateway(bedrock) as url:
        body = {"model": NOVA, "messages": HELLO}
        statuses = [httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code for _ in range(4)]
    assert statuses == [403, 200, 403, 200]
    assert called == ["amazon", "us", "amazon", "us", "us", "amazon", "us"]


def test_all_upstream_calls_of_a_request_use_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    titan = "amazon.titan-embed-text-v2:0"
    sold_by_profile = dataclasses.replace(catalog.MODELS[titan], profile_only=True)
    monkeypatch.setitem(catalog.MODELS, titan, sold_by_profile)
    with serving(emulator_app()) as bedrock, gateway(bedrock) as url:
        for _ in range(2):
            body = {"model": titan, "input": [f"text {number}" for number in range(20)]}
            answer = httpx.post(f"{url}/v1/embeddings", json=body, headers=HEADERS)
            assert (answer.status_code, len(answer.json()["data"])) == (200, 20)
            assert answer.headers["x-outcrop-adjusted"] == "inference_profile"


def test_unresponsive_profile_list_does_not_replace_the_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        if b" /model/" not in head:
            await asyncio.sleep(20)
        error = {"message": "Invocation with on-demand throughput isn\u2019t supported."}
        writer.write(
            http_reply(json.dumps(error), "400 Bad Request", extra="x-amzn-errortype: ValidationException\r\n")
        )
        await writer.drain()

    with upstream(answer) as bedrock, gateway(bedrock, bedrock_total_timeout=2) as url:
        body = {"model": NOVA, "messages": HELLO}
        response = httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
