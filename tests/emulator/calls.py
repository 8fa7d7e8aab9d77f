"""Calls of the emulator over HTTP and by boto3."""

import json
from typing import Any

import httpx

from app.emulator.keys import BEARER

MESSAGES: Any = [{"role": "user", "content": [{"text": "hello there"}]}]
ANTHROPIC_BODY: Any = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "hi"}],
}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def post(url: str, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(url + path, content=content, headers={"authorization": f"Bearer {BEARER}", **headers}, timeout=20)


def converse(url: str, model: str, operation: str = "converse", **more: Any) -> httpx.Response:
    return post(url, f"/model/{model}/{operation}", {"messages": MESSAGES, **more})


def invoke(bedrock: Any, model: str = CLAUDE, **more: Any) -> Any:
    return json.loads(bedrock.invoke_model(modelId=model, body=json.dumps({**ANTHROPIC_BODY, **more}))["body"].read())
