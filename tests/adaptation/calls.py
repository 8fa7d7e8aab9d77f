"""Calls, blocks and capabilities for the tests of adaptation."""

from typing import Any

from app.adaptation import AdaptedRequest, adapt
from app.converse.call import Intent, ModelCall
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from app.wire import json

CLAUDE_45 = capabilities_of(parse_model_id("anthropic.claude-sonnet-4-5-20250929-v1:0"))
CLAUDE_46 = capabilities_of(parse_model_id("anthropic.claude-sonnet-4-6"))
CLAUDE_5 = capabilities_of(parse_model_id("anthropic.claude-sonnet-5"))
CLAUDE_55 = capabilities_of(parse_model_id("anthropic.claude-opus-5-5"))
NOVA_2 = capabilities_of(parse_model_id("amazon.nova-2-lite-v1:0"))
NOVA = capabilities_of(parse_model_id("amazon.nova-pro-v1:0"))
LLAMA = capabilities_of(parse_model_id("meta.llama4-maverick-17b-instruct-v1:0"))
GPT_OSS = capabilities_of(parse_model_id("openai.gpt-oss-120b-1:0"))
QWEN = capabilities_of(parse_model_id("qwen.qwen3-32b-v1:0"))
MISTRAL = capabilities_of(parse_model_id("mistral.pixtral-large-2502-v1:0"))
TITAN = capabilities_of(parse_model_id("amazon.titan-text-express-v1"))
PLAIN = Capabilities()

SYSTEM: Any = {"role": "system", "content": [{"text": "s"}]}
OBJECT = {"type": "object", "properties": {}}


def spec(name: str) -> Any:
    return {"toolSpec": {"name": name, "inputSchema": {"json": OBJECT}}}


def user(*blocks: Any) -> Any:
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Any) -> Any:
    return {**user(*blocks), "role": "assistant"}


def use(tool_id: str, name: str = "t") -> Any:
    return {"toolUse": {"toolUseId": tool_id, "name": name, "input": {}}}


def result(tool_id: str) -> Any:
    return {"toolResult": {"toolUseId": tool_id, "content": [{"text": "r"}]}}


def adapt_call(
    capabilities: Capabilities, messages: list[Any] | None = None, intent: Intent | None = None, **body: Any
) -> AdaptedRequest:
    converse: Any = {"messages": [user("hi")] if messages is None else messages, **body}
    before = json.dumps(converse)
    adapted = adapt(ModelCall("m", converse, intent or Intent()), capabilities)
    assert json.dumps(converse) == before, "adaptation wrote into the call"
    return adapted


def text_format(schema: Any, **more: str) -> Any:
    definition = {"schema": json.dumps_text(schema), "name": "n", **more}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
