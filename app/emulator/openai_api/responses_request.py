"""A Responses body, converted to a Converse request."""

from typing import cast

from app.converse.request import ConverseRequest
from app.emulator.openai_api.encrypted_reasoning import decrypt
from app.emulator.openai_api.errors import refused
from app.emulator.openai_api.tools import converse_tool, text_of
from app.wire import json
from app.wire.json import JsonObject

_HOSTED_TOOLS = ("web_search", "file_search", "code_interpreter", "image_generation", "mcp", "computer_use_preview")


def responses_to_converse(body: JsonObject, *, is_mantle: bool) -> ConverseRequest:
    """Convert a body; values that Converse has as they are pass unchecked.

    Raises:
        OpenAIServiceError: for what these APIs refuse.
    """
    _check_supported(body, is_mantle=is_mantle)
    messages, system = _conversation(body)
    request: JsonObject = {"messages": messages, "inferenceConfig": {}}
    if system:
        request["system"] = system
    if limit := body.get("max_output_tokens"):
        request["inferenceConfig"]["maxTokens"] = limit
    return cast(ConverseRequest, {**request, **_tool_config(body), **_output_config(body), **_model_fields(body)})


def _check_supported(body: JsonObject, *, is_mantle: bool) -> None:
    if body.get("background"):
        raise refused("background mode is not supported")
    if body.get("store") is not False:
        raise refused("this Bedrock keeps no responses: send store: false")
    for tool in body.get("tools") or ():
        kind = tool.get("type")
        if kind == "namespace" or (kind in _HOSTED_TOOLS and not is_mantle):
            raise refused(f"Tool type '{kind}' is not supported.")


def _conversation(body: JsonObject) -> tuple[list[JsonObject], list[JsonObject]]:
    """The messages and the system blocks; items of the same role that follow each other share a message."""
    sent = body.get("input")
    items = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    messages: list[JsonObject] = []
    system: list[JsonObject] = [{"text": body["instructions"]}] if body.get("instructions") else []
    for item in items or ():
        role, blocks = _item(item)
        if role == "system":
            system += blocks
        elif blocks and messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})
    return messages, system


def _item(item: JsonObject) -> tuple[str, list[JsonObject]]:
    """The role and the content blocks of one input item."""
    match item:
        case {"type": "function_call" | "custom_tool_call", "call_id": call_id, "name": name}:
            if "namespace" in item:
                raise refused("Unknown parameter: 'namespace'.")
            arguments = item["arguments"] if "arguments" in item else item.get("input", "{}")
            given = json.loads(arguments) if item["type"] == "function_call" else {"input": arguments}
            return "assistant", [{"toolUse": {"toolUseId": call_id, "name": name, "input": given}}]
        case {"type": "function_call_output" | "custom_tool_call_output", "call_id": call_id, "output": output}:
            return "user", [{"toolResult": {"toolUseId": call_id, "content": [{"text": text_of(output)}]}}]
        case {"type": "reasoning"}:
            encrypted = item.get("encrypted_content")
            return "assistant", [{"reasoningContent": decrypt(str(encrypted))}] if encrypted else []
        case {"role": "system" | "developer", "content": content}:
            return "system", [{"text": text_of(content)}]
        case {"role": str(role), "content": content}:
            return role, [{"text": text_of(content)}]
        case _:
            raise refused(f"Invalid item of type {item.get('type')!r}.")


def _tool_config(body: JsonObject) -> JsonObject:
    tools = [tool for tool in body.get("tools") or () if tool.get("type") in ("function", "custom")]
    if not tools or body.get("tool_choice") == "none":
        return {}
    return {"toolConfig": {"tools": [converse_tool(tool) for tool in tools]}}


def _output_config(body: JsonObject) -> JsonObject:
    output_format = (body.get("text") or {}).get("format") or {}
    if output_format.get("type") != "json_schema":
        return {}
    definition = {"schema": json.dumps_text(output_format["schema"])}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}}


def _model_fields(body: JsonObject) -> JsonObject:
    if (body.get("reasoning") or {}).get("effort") in (None, "none"):
        return {}
    return {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}
