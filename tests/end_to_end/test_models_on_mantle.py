"""`GET /v1/models` with the models that only mantle serves, which the control plane does not list."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import KEY, emulator_app, gateway, http_reply, read_request, serving, upstream

HEADERS = {"x-api-key": KEY}
MANTLE = ["openai.gpt-5.5", "google.gemma-4-31b", "anthropic.claude-sonnet-5", "nvidia.nemotron-nano-9b-v2"]
SUMMARY = {"modelId": "nvidia.nemotron-nano-9b-v2", "outputModalities": ["TEXT"]}
PAGES = {"/foundation-models": {"modelSummaries": [SUMMARY]}, "/inference-profiles": {"inferenceProfileSummaries": []}}


@contextlib.contextmanager
def bedrock(mantle: bytes | None, asked: list[str]) -> Iterator[str]:
    """Run a Bedrock whose mantle answers so, or never; yield its URL. asked: gets the paths."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            path = head.split(b" ")[1].decode().partition("?")[0]
            asked.append(path)
            if path == "/v1/models":
                assert b"/bedrock-mantle/aws4_request" in head
                if mantle is None:
                    await asyncio.sleep(60)
            reply = mantle if path == "/v1/models" else http_reply(json.dumps(PAGES[path]))
            writer.write(reply or b"")
            await writer.drain()

    with upstream(handle) as url:
        yield url


def listed(url: str, **headers: str) -> list[str]:
    answer = httpx.get(f"{url}/v1/models?limit=1000", headers={**HEADERS, **headers}, timeout=30)
    assert answer.status_code == 200, answer.text
    return [model["id"] for model in answer.json()["data"]]


def test_models_that_only_mantle_serves_are_listed() -> None:
    """big-AGI#1167, hermes#65076: clients offer what is listed. On 965aba3 they were missing."""
    document = {"object": "list", "data": [{"id": name, "object": "model", "created": 7} for name in MANTLE]}
    asked: list[str] = []
    with bedrock(http_reply(json.dumps(document)), asked) as address, gateway(address) as url:
        names = listed(url)
        assert names[1:] == ["gpt-5.5", "nvidia.nemotron-nano-9b-v2", "google.gemma-4-31b", "openai.gpt-5.5"]
        # Claude is called at the runtime, and the other is known to the control plane
        assert listed(url, **{"anthropic-version": "2023-06-01"}) == names
        gemma = httpx.get(f"{url}/v1/models/google.gemma-4-31b", headers=HEADERS).json()
        assert gemma == {"id": "google.gemma-4-31b", "object": "model", "created": 7, "owned_by": "google"}
    assert asked.count("/v1/models") == 1


@pytest.mark.parametrize(
    "reply",
    [
        http_reply(
            b'{"message":"not authorized"}', "403 Forbidden", extra="x-amzn-errortype: AccessDeniedException\r\n"
        ),
        http_reply(b'{"data":[{"name":"x"}]}'),
        http_reply(b"[]"),
        http_reply(b"<html>"),
        http_reply(b"{}", "404 Not Found"),
    ],
)
def test_the_others_are_listed_without_the_list_of_mantle(reply: bytes) -> None:
    asked: list[str] = []
    with bedrock(reply, asked) as address, gateway(address) as url:
        for _ in range(2):
            assert listed(url)[1:] == ["nvidia.nemotron-nano-9b-v2"]
    assert asked.count("/v1/models") == 1


def test_mantle_is_not_asked_where_it_is_not_used() -> None:
    asked: list[str] = []
    with bedrock(None, asked) as address, gateway(address, native_surfaces="invoke,openai") as url:
        assert listed(url)[1:] == ["nvidia.nemotron-nano-9b-v2"]
    assert "/v1/models" not in asked


def test_every_listed_model_of_the_embedded_bedrock_answers() -> None:
    with serving(emulator_app()) as address, gateway(address, retry_budget=10) as url:
        names = [
            name for name in listed(url) if name.startswith(("google.", "zai.", "openai.", "gpt-", "claude-mythos"))
        ]
        assert {"google.gemma-4-31b", "zai.glm-4.6", "openai.gpt-5.5", "claude-mythos-5"} <= set(names)
        for name in names:
            body: Any = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS)
            assert answer.status_code == 200, (name, answer.text)
