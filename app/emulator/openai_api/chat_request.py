"""A Chat Completions body, converted to a Converse request."""

from typing import cast

from app.converse.request import ConverseRequest
from app.emulator.openai_api.tools import converse_tool, text_of
from app.wire.json import JsonObject


def chat_to_converse(body: JsonObject) -> ConverseRequest:
    """Convert a body; system messages are dropped, values pass unchecked."""
    request: JsonObject = {"messages": _messages(body), "inferenceConfig": {}}
    if limit := body.get("max_completion_tokens") or body.get("max_tokens"):
        request["inferenceConfig"]["maxTokens"] = limit
    if tools := body.get("tools"):
        flat = [{"type": tool["type"], **tool[tool["type"]]} for tool in tools]
        request["toolConfig"] = {"tools": [converse_tool(tool) for tool in flat]}
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
