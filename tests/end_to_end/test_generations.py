"""What clients send that know another Claude than the one that answers, or another model altogether."""

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


def call(given: str) -> Any:
    return {"type": "tool_use", "id": given, "name": "look", "input": {}}


def result(given: str) -> Any:
    return {"type": "tool_result", "tool_use_id": given, "content": "seen"}


SAID: dict[str, dict[str, Any]] = {
    "a budget": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "a budget of all": {"thinking": {"type": "enabled", "budget_tokens": 32_000}, "max_tokens": 64_001},
    "adaptively": {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
    "no thoughts": {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
    "between tools": {"thinking": {"type": "between_tools"}},
    "sampling": {"temperature": 0.3, "top_p": 0.9, "top_k": 20},
    "a forced tool": {"tools": [TOOL, UNION], "tool_choice": {"type": "tool", "name": "look"}},
    "alternatives": {"tools": [UNION], "tool_choice": {"type": "any"}},
    "a long answer": {"max_tokens": 128_000},
    "ids of another": {
        "tools": [TOOL],
        "messages": [
            HELLO,
            {"role": "assistant", "content": [call("functions.look:0"), call("functions.look:0")]},
            {"role": "user", "content": [result("functions.look:0"), result("functions.look:0")]},
        ],
    },
    "a picture that was drawn": {
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
@pytest.mark.parametrize("said", SAID)
def test_every_claude_answers(url: str, model: str, said: str) -> None:
    body = {"model": model, "max_tokens": 4000, "messages": [HELLO], **SAID[said]}
    answer = httpx.post(f"{url}/v1/messages", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "message"


def test_what_a_model_has_told_is_known_to_every_dialect(url: str) -> None:
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    headers = {"x-api-key": KEY, "authorization": f"Bearer {KEY}"}
    for path, limit in (("messages", "max_tokens"), ("chat/completions", "max_completion_tokens")):
        body = {"model": model, limit: 100_000, "messages": [HELLO]}
        answer = httpx.post(f"{url}/v1/{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code == 200
        assert sorted(answer.headers["x-outcrop-adjusted"].split(", ")) == ["inference_profile", "max_tokens"]
