"""Requests that clients write for another generation of Claude, or for another model."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.wire import json
from tests.servers import KEY, emulator_app, gateway, serving

CLAUDES = (
    "anthropic.claude-3-haiku-20240307-v1:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-sonnet-4-6",
    "anthropic.claude-opus-4-8",
    "anthropic.claude-sonnet-5",
)
HELLO: Any = {"role": "user", "content": "hi"}
TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
UNION: Any = {"name": "pick", "input_schema": {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def call(call_id: str) -> Any:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {}}


def result(call_id: str) -> Any:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "seen"}


REQUESTS: dict[str, dict[str, Any]] = {
    "thinking budget": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "large thinking budget and max_tokens": {
        "thinking": {"type": "enabled", "budget_tokens": 32_000},
        "max_tokens": 64_001,
    },
    "adaptive thinking": {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "xhigh"},
    },
    "thinking disabled": {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
    "thinking between tools": {"thinking": {"type": "between_tools"}},
    "sampling": {"temperature": 0.3, "top_p": 0.9, "top_k": 20},
    "forced tool": {"tools": [TOOL, UNION], "tool_choice": {"type": "tool", "name": "look"}},
    "tool schema with alternatives": {"tools": [UNION], "tool_choice": {"type": "any"}},
    "high max_tokens": {"max_tokens": 128_000},
    "tool call ids of another model": {
        "tools": [TOOL],
        "messages": [
            HELLO,
            {"role": "assistant", "content": [call("functions.look:0"), call("functions.look:0")]},
            {"role": "user", "content": [result("functions.look:0"), result("functions.look:0")]},
        ],
    },
    "image of the assistant": {
        "messages": [
            HELLO,
            {
                "role": "assistant",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "text", "text": "there"},
                ],
            },
            HELLO,
        ]
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as base:
        yield base


@pytest.mark.parametrize("model", CLAUDES)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_every_claude_accepts_the_request(url: str, model: str, request_name: str) -> None:
    body = {"model": model, "max_tokens": 4000, "messages": [HELLO], **REQUESTS[request_name]}
    answer = httpx.post(f"{url}/v1/messages", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "message"


def test_learned_capabilities_apply_to_every_dialect(url: str) -> None:
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    headers = {"x-api-key": KEY, "authorization": f"Bearer {KEY}"}
    for path, limit in (("messages", "max_tokens"), ("chat/completions", "max_completion_tokens")):
        body = {"model": model, limit: 100_000, "messages": [HELLO]}
        answer = httpx.post(f"{url}/v1/{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code == 200
        assert sorted(answer.headers["x-outcrop-adjusted"].split(", ")) == ["inference_profile", "max_tokens"]
