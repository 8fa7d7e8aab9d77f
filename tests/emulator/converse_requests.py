"""Models, messages and fields from which the tests of the rules are built."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_4_5 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4_6 = "us.anthropic.claude-sonnet-4-6"
SONNET_5 = "us.anthropic.claude-sonnet-5"
NOVA = "amazon.nova-pro-v1:0"
QWEN = "qwen.qwen3-32b-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
TITAN = "amazon.titan-text-express-v1"
ECHO = "scripted.echo-v1:0"


def user(*blocks: Any) -> Any:
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Any) -> Any:
    return {**user(*blocks), "role": "assistant"}


def tool_use(tool_id: str = "t1", **more: Any) -> Any:
    return {"toolUse": {"toolUseId": tool_id, "name": "t", "input": {}, **more}}


def tool_result(tool_id: str = "t1", **more: Any) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": [{"text": "r"}], **more}}


def document(name: str = "doc", data: bytes = b"x") -> Any:
    return {"document": {"format": "pdf", "name": name, "source": {"bytes": data}}}


SYSTEM = {"role": "system", "content": [{"text": "s"}]}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"x"}}}
CACHE_POINT = {"cachePoint": {"type": "default"}}
HOUR_CACHE_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
REASONING = {"reasoningContent": {"reasoningText": {"text": "t"}}}
TOOLS: Any = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
THINKING_ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
THINKING_ADAPTIVE = {"thinking": {"type": "adaptive"}}


def tools_with_title(title: str) -> Any:
    schema = {"type": "object", "additionalProperties": False, "title": title}
    return {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}]}


def effort(name: str) -> Any:
    return {"output_config": {"effort": name}}


def output_schema(text: str) -> Any:
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": text}}}}


def assert_refused(bedrock: Any, model: str, messages: Any, more: Any, message: str) -> None:
    """Call Converse, and check the exception that it raises."""
    with pytest.raises(ClientError) as caught:
        bedrock.converse(modelId=model, messages=messages, **more)
    assert message in caught.value.response["Error"]["Message"]
    expected = "AccessDeniedException" if "caching" in message else "ValidationException"
    assert caught.value.response["Error"]["Code"] == expected


def assert_accepted(bedrock: Any, model: str, messages: Any, more: Any) -> None:
    """Call Converse, and check that the model answers or calls a tool."""
    assert bedrock.converse(modelId=model, messages=messages, **more)["stopReason"] in ("end_turn", "tool_use")
