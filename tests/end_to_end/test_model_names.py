"""Aliases and the default model in every dialect, the names of bedrock-access-gateway, and other runtime operations."""

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from app.config.entries import parse_aliases
from app.config.environment import load_settings
from app.config.settings import SettingsError
from tests.end_to_end.conftest import boto_client
from tests.servers import KEY, emulator_app, gateway, http_reply, read_request, serving, upstream

ALIASES = "gpt-4o=scripted.echo-v1:0,claude=anthropic.claude-3-haiku-20240307-v1:0,vectors=amazon.titan-embed-text-v2:0"
HEADERS = {"x-api-key": KEY}
HELLO: Any = [{"role": "user", "content": "hi"}]


def test_aliases_work_in_every_dialect() -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock, model_aliases=ALIASES) as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            messages: Any = [{"role": "user", "content": "hi"}]
            chat = client.chat.completions.create(model="gpt-4o", messages=messages)
            assert (chat.model, chat.choices[0].message.content) == ("gpt-4o", "hi")
            assert client.embeddings.create(model="vectors", input="x").model == "vectors"
            assert [model.id for model in client.models.list()][:3] == ["claude", "gpt-4o", "vectors"]
            assert client.models.retrieve("claude").owned_by == "outcrop"
        with anthropic.Anthropic(base_url=url, api_key=KEY) as claude:
            message = claude.messages.create(model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
            assert (message.model, message.id[:9]) == ("claude", "msg_bdrk_")
        with boto_client(url) as runtime:
            for name in ("gpt-4o", "default", "scripted.echo-v1:0"):
                question = [{"role": "user", "content": [{"text": "hi"}]}]
                reply = runtime.converse(modelId=name, messages=question)
                assert reply["output"]["message"]["content"][0]["text"] == "hi"
                stream = runtime.converse_stream(modelId=name, messages=question)["stream"]
                assert "messageStop" in [next(iter(event)) for event in stream]


def test_alias_of_an_arn_is_resolved() -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        seen.append(head.split(b" ")[1])
        writer.write(http_reply(b"{}"))
        await writer.drain()

    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    with upstream(handle) as url, gateway(url, model_aliases=f"mine={arn}") as base:
        httpx.post(f"{base}/model/mine/converse", json={}, headers=HEADERS)
    # the gateway also looks up the model of the ARN
    assert [path for path in seen if path.startswith(b"/model/")] == [
        b"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse"
    ]


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a b=c", "a=b,a=c", "a/b=c", "a=b c"])
def test_malformed_alias_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="entry"):
        parse_aliases(text)


def test_paths_of_bedrock_access_gateway_work() -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock, embedding_model_id="cohere.embed-english-v3") as url:
        with openai.OpenAI(base_url=f"{url}/api/v1", api_key=KEY) as client:
            messages: Any = [{"role": "user", "content": "hi"}]
            assert client.chat.completions.create(model="scripted.echo-v1:0", messages=messages).choices
            assert len(client.embeddings.create(model="", input="x").data[0].embedding) == 1024
            assert client.models.retrieve("scripted.echo-v1:0").id
        assert "/api/v1/models" not in httpx.get(f"{url}/openapi.json", timeout=20).json()["paths"]


def test_variables_of_bedrock_access_gateway_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    legacy = {
        "API_KEY": "s3cret-of-team-0001",
        "DEFAULT_MODEL": "a.b",
        "DEFAULT_EMBEDDING_MODEL": "c.d",
        "AWS_REGION": "us-west-2",
    }
    for name in ("API_KEYS", "BEDROCK_MODEL_ID", "EMBEDDING_MODEL_ID"):
        monkeypatch.setenv(name, "")
    for name, value in legacy.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(tmp_path / ".env")
    assert settings.keys() == {"key-3db84e8f": ("s3cret-of-team-0001",)}
    assert (settings.bedrock_model_id, settings.embedding_model_id) == ("a.b", "c.d")
    monkeypatch.setenv("BEDROCK_MODEL_ID", "our.own")
    assert load_settings(tmp_path / ".env").bedrock_model_id == "our.own"


def test_malformed_aliases_fail_the_startup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_REGION": "us-east-1",
        "BEDROCK_MODEL_ID": "a.b",
        "API_KEYS": "a-key-of-some-length",
        "MODEL_ALIASES": "x",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="MODEL_ALIASES='x': entry 1 must be name=model"):
        load_settings(tmp_path / ".env")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aguardrail%2Fabc/version/DRAFT/apply"),
        ("POST", "/guardrail-checks/invoke"),
        ("POST", "/async-invoke"),
        ("GET", "/async-invoke?maxResults=5&statusEquals=Completed"),
        ("GET", "/async-invoke/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aasync-invoke%2Fabc"),
    ],
)
def test_other_runtime_operations_pass_unchanged(method: str, path: str) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read_request(reader)
        seen.append((head.split(b" HTTP")[0], body))
        writer.write(http_reply(b'{ "odd":  [1.0] }', extra="x-amzn-requestid: r-1\r\n"))
        await writer.drain()

    content = b'{"source":  "INPUT"}' if method == "POST" else b""
    with upstream(handle) as url, gateway(url) as base:
        answer = httpx.request(method, base + path, content=content, headers=HEADERS)
    assert seen == [(f"{method} {path}".encode(), content)]
    assert (answer.content, answer.headers["x-amzn-requestid"]) == (b'{ "odd":  [1.0] }', "r-1")


def test_boto3_applies_guardrails_and_starts_async_invokes() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        answer = (
            b'{"action":"NONE","outputs":[],"assessments":[]}' if b"/apply" in head else b'{"invocationArn":"arn:x"}'
        )
        writer.write(http_reply(answer))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base, boto_client(base) as runtime:
        content = [{"text": {"text": "x"}}]
        applied = runtime.apply_guardrail(
            guardrailIdentifier="abc", guardrailVersion="1", source="INPUT", content=content
        )
        assert applied["action"] == "NONE"
        started = runtime.start_async_invoke(
            modelId="amazon.nova-reel-v1:0", modelInput={}, outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://b"}}
        )
        assert started["invocationArn"] == "arn:x"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "stream": True, "stream_options": {"include_usage": None}}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9}),
        ("/v1/embeddings", {"input": "hi", "encoding_format": None}),
    ],
)
def test_null_model_uses_the_default_model(emulator_url: str, path: str, body: Any) -> None:
    model = "amazon.titan-embed-text-v2:0" if "input" in body and "encoding_format" in body else "scripted.echo-v1:0"
    with gateway(emulator_url, bedrock_model_id=model) as url:
        answer = httpx.post(url + path, json={**body, "model": None}, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
