"""A Responses body, converted to a Converse request."""

from typing import cast

from app.converse.request import ConverseRequest
from app.emulator.openai_api.encrypted_reasoning import decrypt
from app.emulator.openai_api.errors import refused
from app.emulator.openai_api.shapes import is_gpt_oss
from app.emulator.openai_api.tools import text_of, tool_config
from app.wire import json
from app.wire.json import JsonObject

# the types that each surface names when it refuses another (litellm#38489, litellm#38227; 2026-08)
_RUNTIME_TOOLS = ("function", "custom", "mcp", "apply_patch", "namespace", "tool_search", "computer")
_MANTLE_TOOLS = ("function", "custom", "mcp", "namespace", "tool_search", "web_search")
# items without effect here
_SILENT_ITEMS = (
    *("mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction"),
    *("tool_search_call", "tool_search_output"),
)
_RUNTIME_ITEMS = (
    *_SILENT_ITEMS,
    *("apply_patch_call", "apply_patch_call_output", "computer_call", "computer_call_output"),
)
_MANTLE_ITEMS = (*_SILENT_ITEMS, "web_search_call")


def responses_to_converse(body: JsonObject, *, is_mantle: bool) -> ConverseRequest:
    """Convert a body; values that Converse has as they are pass unchecked.

    Raises:
        OpenAIServiceError: for what these APIs refuse.
    """
    _check_supported(body, is_mantle=is_mantle)
    messages, system = _conversation(body, _MANTLE_ITEMS if is_mantle else _RUNTIME_ITEMS)
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
        # the runtime's own list has `namespace`, and yet it was refused (litellm#38489)
        if kind == "namespace" or kind not in (_MANTLE_TOOLS if is_mantle else _RUNTIME_TOOLS):
            raise refused(f"Tool type '{kind}' is not supported.")


def _conversation(body: JsonObject, silent: tuple[str, ...]) -> tuple[list[JsonObject], list[JsonObject]]:
    """The messages and the system blocks; items of the same role that follow each other share a message."""
    sent = body.get("input")
    items = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    messages: list[JsonObject] = []
    system: list[JsonObject] = [{"text": body["instructions"]}] if body.get("instructions") else []
    for item in items or ():
        role, blocks = ("user", []) if item.get("type") in silent else _item(item)
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
            # litellm#36528
            raise refused("invalid request body: Invalid 'input': value did not match any expected variant")


def _tool_config(body: JsonObject) -> JsonObject:
    tools = [tool for tool in body.get("tools") or () if tool.get("type") in ("function", "custom")]
    return tool_config(tools, body.get("tool_choice"))


def _output_config(body: JsonObject) -> JsonObject:
    output_format = (body.get("text") or {}).get("format") or {}
    if output_format.get("type") != "json_schema":
        return {}
    definition = {"schema": json.dumps_text(output_format["schema"])}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}}


def _model_fields(body: JsonObject) -> JsonObject:
    effort = (body.get("reasoning") or {}).get("effort")
    if effort in (None, "none") and not is_gpt_oss(body):
        return {}
    return {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}
