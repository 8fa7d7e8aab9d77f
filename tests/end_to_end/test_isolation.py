"""What one key provokes does not change the answers to another key."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import gateway, http_reply, read_request, upstream

KEYS = {name: f"secret-of-caller-{name}" for name in ("hostile", "honest")}
API_KEYS = ",".join(f"{name}={secret}" for name, secret in KEYS.items())
REPLY: Any = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}
LIMIT = "The maximum tokens you requested exceeds the model limit of 1."


@pytest.fixture
def bedrock() -> Iterator[tuple[str, list[Any]]]:
    """Fails on the word `crash`, and names a limit on the word `limit`; yields the bodies of other requests too."""
    bodies: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, raw = await read_request(reader)
        body = json.loads(raw)
        tokens = body.get("inferenceConfig", {}).get("maxTokens", 0)
        if b"crash" in raw:
            answer = error("500 No", "InternalServerException", "crashed")
        elif b"limit" in raw and tokens > 1:
            answer = error("400 No", "ValidationException", LIMIT)
        else:
            bodies.append(tokens)
            answer = http_reply(json.dumps(REPLY))
        writer.write(answer)
        await writer.drain()

    with upstream(handle) as url:
        yield url, bodies


def error(status: str, name: str, message: str) -> bytes:
    return http_reply(json.dumps({"message": message}), status, extra=f"x-amzn-errortype: {name}\r\n")


def ask(base: str, caller: str, text: str) -> int:
    body = {"model": "a.b", "max_tokens": 500, "messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{base}/v1/messages", json=body, headers={"x-api-key": KEYS[caller]}).status_code


def test_one_key_cannot_open_the_breaker_of_another(bedrock: tuple[str, list[Any]]) -> None:
    """Finding M4: after ten failures of one key's bodies, another key got 503 for five seconds."""
    with gateway(bedrock[0], api_keys=API_KEYS, bedrock_max_attempts=1) as base:
        assert [ask(base, "hostile", "crash") for _ in range(15)] == [500] * 15
        assert ask(base, "honest", "hello") == 200


def test_one_key_cannot_lower_the_limit_of_another(bedrock: tuple[str, list[Any]]) -> None:
    """Finding M6: after one key had provoked a refusal, another key's max_tokens went out as 1."""
    url, sent = bedrock
    with gateway(url, api_keys=API_KEYS, bedrock_max_attempts=1) as base:
        for caller, text, tokens in (
            ("hostile", "limit", 1),
            ("hostile", "hello", 1),
            ("honest", "hello", 500),
            ("honest", "limit", 1),
            ("honest", "hello", 1),
        ):
            assert ask(base, caller, text) == 200
            assert sent.pop() == tokens, (caller, text)
