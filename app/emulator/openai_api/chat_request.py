"""A Chat Completions body, converted to a Converse request."""

from typing import cast

from app.converse.request import ConverseRequest
from app.emulator.openai_api.tools import text_of, tool_config
from app.wire import json
from app.wire.json import JsonObject


def chat_to_converse(body: JsonObject) -> ConverseRequest:
    """Convert a body; system messages are dropped, values pass unchecked."""
    request: JsonObject = {"messages": _messages(body), "inferenceConfig": {}}
    if limit := body.get("max_completion_tokens") or body.get("max_tokens"):
        request["inferenceConfig"]["maxTokens"] = limit
    if tools := body.get("tools"):
        flat = [{"type": tool["type"], **tool[tool["type"]]} for tool in tools]
        request |= tool_config(flat, body.get("tool_choice"))
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        definition = {"schema": json.dumps_text(wanted["json_schema"]["schema"])}
        request["outputConfig"] = {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}},
        }
    return cast(ConverseRequest, request)


def _messages(body: JsonObject) -> list[JsonObject]:
    messages: list[JsonObject] = []
    for message in body.get("messages") or ():
        role = message["role"]
        if role in ("system", "developer"):
            continue
        block: JsonObject = {"text": text_of(message.get("content") or "")}
        if role == "tool":
            block = {"toolResult": {"toolUseId": message["tool_call_id"], "content": [block]}}
        messages.append({"role": "user" if role in ("tool", "user") else "assistant", "content": [block]})
    return messages
