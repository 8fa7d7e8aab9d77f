"""Anthropic's and OpenAI's own names for their models, as callers write them who come from these vendors."""

import asyncio
from typing import Any

import anthropic
import httpx
import openai
import pytest
from pydantic import ConfigDict

from app.wire import json
from tests.end_to_end.conftest import Records, boto_client
from tests.servers import KEY, emulator_app, gateway, http_reply, read_request, serving, upstream

# the SDK knows which models Anthropic itself no longer sells
pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")

HEADERS = {"x-api-key": KEY}
HELLO: Any = [{"role": "user", "content": "hi"}]
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
REPLY = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6"),
        ("claude-sonnet-4-5", SONNET),
        ("claude-sonnet-4-5-20250929[1m]", SONNET),
        ("claude-3-haiku-20240307", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("gpt-oss-120b", "openai.gpt-oss-120b-1:0"),
        ("gpt-5.6", "us.openai.gpt-5.6-sol"),
    ],
)
def test_unmodified_clients_call_models_by_short_names(
    gateway_url: str, records: Records, name: str, target: str
) -> None:
    with anthropic.Anthropic(base_url=gateway_url, api_key=KEY, max_retries=0) as claude:
        raw = claude.messages.with_raw_response.create(model=name, max_tokens=9, messages=HELLO)
        assert (raw.parse().model, records.by_id(raw.headers["request-id"]).target) == (name, target)
        with claude.messages.stream(model=name, max_tokens=9, messages=HELLO) as stream:
            assert stream.get_final_message().model == name
    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0) as client:
        chat = client.chat.completions.with_raw_response.create(model=name, messages=HELLO)
        record = records.by_id(chat.headers["x-request-id"])
        assert (chat.parse().model, record.model, record.target, record.attempts) == (name, name, target, 1)
        assert "x-outcrop-adjusted" not in chat.headers
        assert client.responses.create(model=name, input="hi").model == name
    with boto_client(gateway_url) as runtime:
        question = [{"role": "user", "content": [{"text": "hi"}]}]
        assert runtime.converse(modelId=name, messages=question)["stopReason"] == "end_turn"


def test_an_alias_of_the_same_name_wins() -> None:
    records = Records()
    aliases = "claude-sonnet-4-6=scripted.echo-v1:0"
    with serving(emulator_app()) as bedrock, gateway(bedrock, records, model_aliases=aliases) as url:
        body = {"model": "claude-sonnet-4-6", "messages": HELLO}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS)
        assert records.by_id(answer.headers["x-request-id"]).target == "scripted.echo-v1:0"


@pytest.mark.parametrize("operation", ["converse", "converse-stream", "invoke", "invoke-with-response-stream"])
def test_the_long_context_that_a_body_must_request_is_named_on_the_bedrock_paths(
    gateway_url: str, operation: str
) -> None:
    hello = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    claudes = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [hello]}
    body = claudes if operation.startswith("invoke") else {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    named = {}
    for name in ("claude-sonnet-4-5%5B1m%5D", "claude-opus-4-8%5B1m%5D", "claude-sonnet-4-5"):
        answer = httpx.post(f"{gateway_url}/model/{name}/{operation}", json=body, headers=HEADERS)
        assert answer.status_code == 200, answer.text
        named[name] = answer.headers.get("x-outcrop-ignored")
    assert list(named.values()) == ["[1m]", None, None]


@pytest.mark.parametrize("model", ["us.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"])
@pytest.mark.parametrize("prefix", ["bedrock%2F", "bedrock/", "bedrock/converse/", "bedrock%2Fconverse%2F"])
def test_the_prefix_of_litellm_works_on_the_bedrock_paths(gateway_url: str, prefix: str, model: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    answer = httpx.post(f"{gateway_url}/model/{prefix}{model}/converse", json=body, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"]["message"]["content"] == [{"text": "hi"}]


class StrictModelInfo(anthropic.types.ModelInfo):
    model_config = ConfigDict(extra="forbid")


def test_short_names_are_listed_before_ids_with_what_the_newest_types_require(gateway_url: str) -> None:
    answer = httpx.get(f"{gateway_url}/v1/models?limit=1000", headers={**HEADERS, "anthropic-version": "2023-06-01"})
    models = [StrictModelInfo.model_validate(each) for each in answer.json()["data"]]
    listed = {model.id: model for model in models}
    opus, by_profile = listed["claude-opus-5-5"], listed["us.anthropic.claude-opus-5-5"]
    assert (opus.display_name, opus.line, opus.lifecycle) == ("Claude Opus 5.5", "opus", "active")
    assert (by_profile.display_name, by_profile.line) == ("Claude Opus 5.5 (us)", "opus")
    assert listed["claude-haiku-4-5"].created_at.date().isoformat() == "2025-10-01"
    assert listed["gpt-oss-120b"].line is None
    ids = list(listed)
    short = [name for name in ids if name.startswith(("claude-", "gpt-"))]
    assert len(short) > 10
    assert ids[: len(short)] == short
    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ids
        assert client.models.retrieve("claude-opus-5-5").owned_by == "anthropic"
        # names that can be called, too
        for name in ("claude-haiku-4-5-20251001", "claude-opus-5-5-latest", "gpt-5.6", "claude-opus-5-5[1m]"):
            assert client.models.retrieve(name).id == name
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("claude-sonet-4-6")


@pytest.mark.parametrize("version", [{}, {"anthropic-version": "2023-06-01"}])
@pytest.mark.parametrize(
    ("name", "owner"),
    [("google.gemma-4-31b", "google"), ("openai.gpt-5.5", "openai"), ("zai.glm-4.6", "zai"), ("gpt-5.5", "openai")],
)
def test_a_model_that_only_mantle_serves_is_described(
    gateway_url: str, version: dict[str, str], name: str, owner: str
) -> None:
    body = {"model": name, "messages": HELLO}
    assert httpx.post(f"{gateway_url}/v1/chat/completions", json=body, headers=HEADERS).status_code == 200
    answer = httpx.get(f"{gateway_url}/v1/models/{name}", headers={**HEADERS, **version})
    assert (answer.status_code, answer.json()["id"]) == (200, name)
    assert version or answer.json()["owned_by"] == owner


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    ("name", "similar"), [("claude-sonet-4-6", "claude-sonnet-4-6"), ("gpt-oss-12b", "gpt-oss-120b")]
)
def test_a_misspelled_short_name_is_answered_with_the_nearest_one(
    gateway_url: str, path: str, name: str, similar: str
) -> None:
    answer = httpx.post(gateway_url + path, json={"model": name, "messages": HELLO, "max_tokens": 9}, headers=HEADERS)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith(f"no model '{name}'; did you mean '{similar}'?")


@pytest.mark.parametrize(("name", "called"), [("claude-opus-4-8", ["eu"]), ("gpt-5.6", ["openai", "eu"])])
def test_short_names_work_without_the_permission_to_list_models(name: str, called: list[str]) -> None:
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        path = head.split()[1].decode()
        seen.append(path)
        if not path.startswith("/model/"):
            writer.write(http_reply(b"{}", "403 Forbidden", extra="x-amzn-errortype: AccessDeniedException\r\n"))
        elif path.startswith("/model/eu"):
            writer.write(http_reply(json.dumps(REPLY)))
        else:
            error = {"message": "Invocation with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported."}
            extra = "x-amzn-errortype: ValidationException\r\n"
            writer.write(http_reply(json.dumps(error), "400 Bad Request", extra=extra))
        await writer.drain()
        writer.close()

    with upstream(answer) as bedrock, gateway(bedrock, aws_region="eu-west-1", native_surfaces="none") as url:
        body = {"model": name, "messages": HELLO}
        statuses = [httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS).status_code for _ in range(3)]
    assert statuses == [200] * 3
    models = [path.split("/")[2].partition(".")[0] for path in seen if path.startswith("/model/")]
    assert models == [*called, "eu", "eu"]
    # the lists are not requested again for each call
    assert sum(not path.startswith("/model/") for path in seen) <= 2


def _sent(name: str, path: str, **more: Any) -> dict[str, Any]:
    """Return the body that Bedrock gets for a name."""
    bodies: list[dict[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read_request(reader)
        if b" /model/" in head:
            bodies.append(json.loads(body))
        writer.write(http_reply(json.dumps({**REPLY, "type": "message"})))
        await writer.drain()

    with upstream(answer) as bedrock, gateway(bedrock) as url:
        httpx.post(url + path, json={"model": name, "messages": HELLO, "max_tokens": 9}, headers={**HEADERS, **more})
    return bodies[-1]


def test_long_context_is_requested_by_beta_where_the_model_needs_one() -> None:
    beta = "context-1m-2025-08-07"
    assert _sent("claude-sonnet-4-5[1m]", "/v1/messages")["anthropic_beta"] == [beta]
    assert _sent(f"{SONNET}[1m]", "/v1/messages", **{"anthropic-beta": beta})["anthropic_beta"] == [beta]
    assert _sent(f"{SONNET}[1m]", "/v1/chat/completions")["additionalModelRequestFields"] == {"anthropic_beta": [beta]}
    assert "anthropic_beta" not in _sent("claude-opus-4-8[1m]", "/v1/messages")
    assert "anthropic_beta" not in _sent(SONNET, "/v1/messages")
