"""The surfaces that speak OpenAI: bodies of Chat Completions and Responses, read as Converse.

Paths, ids and refusals: AWS user guide, models by API and the cards of GPT-5.6, gpt-oss and Gemma 4 (2026-11), and
litellm's live tests.
"""

import hashlib
from base64 import b64decode
from typing import Any

from app.emulator.errors import ServiceError, invalid
from app.wire import json

_HOSTED = ("web_search", "file_search", "code_interpreter", "image_generation", "mcp", "computer_use_preview")


class OpenAIServiceError(ServiceError):
    """An error in OpenAI's envelope."""

    @property
    def error_type(self) -> str:
        """These surfaces name their errors in the body only."""
        return ""

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        return {"error": {"code": "validation_error", "message": self.message, "param": None, "type": kind}}


def refused(message: str) -> OpenAIServiceError:
    """A refusal of the surface itself."""
    return OpenAIServiceError("ValidationException", message)


def responses_to_converse(body: dict[str, Any], *, is_mantle: bool) -> dict[str, Any]:
    """The Converse request that a request for a response amounts to.

    Raises:
        OpenAIServiceError: for what these surfaces refuse.
    """
    if body.get("background"):
        raise refused("background mode is not supported")
    if body.get("store") is not False:
        raise refused("this Bedrock keeps no responses: send store: false")
    for tool in body.get("tools") or ():
        if tool.get("type") == "namespace" or (tool.get("type") in _HOSTED and not is_mantle):
            raise refused(f"Tool type '{tool.get('type')}' is not supported.")
    sent = body.get("input")
    items = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    messages: list[dict[str, Any]] = []
    system = [{"text": body["instructions"]}] if body.get("instructions") else []
    for item in items or ():
        role, blocks = _item(item)
        if role == "system":
            system += blocks
        elif blocks:
            if messages and messages[-1]["role"] == role:
                messages[-1]["content"] += blocks
            else:
                messages.append({"role": role, "content": blocks})
    tools = [tool for tool in body.get("tools") or () if tool.get("type") in ("function", "custom")]
    request: dict[str, Any] = {"messages": messages, "inferenceConfig": {}}
    if system:
        request["system"] = system
    if body.get("max_output_tokens"):
        request["inferenceConfig"]["maxTokens"] = body["max_output_tokens"]
    if tools and body.get("tool_choice") != "none":
        request["toolConfig"] = {"tools": [_tool(tool) for tool in tools]}
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        request["outputConfig"] = _text_format(wanted["schema"])
    if (body.get("reasoning") or {}).get("effort") not in (None, "none"):
        request["additionalModelRequestFields"] = {"thinking": {"type": "enabled"}}
    return request


def _item(item: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    match item:
        case {"type": "function_call" | "custom_tool_call", "call_id": call_id, "name": name}:
            if "namespace" in item:
                raise refused("Unknown parameter: 'namespace'.")
            arguments = item.get("arguments", item.get("input", "{}"))
            given = json.loads(arguments) if item["type"] == "function_call" else {"input": arguments}
            return "assistant", [{"toolUse": {"toolUseId": call_id, "name": name, "input": given}}]
        case {"type": "function_call_output" | "custom_tool_call_output", "call_id": call_id, "output": output}:
            return "user", [{"toolResult": {"toolUseId": call_id, "content": [{"text": _text(output)}]}}]
        case {"type": "reasoning"}:
            sealed = item.get("encrypted_content")
            if not sealed:
                return "assistant", []
            digest, _, inside = str(sealed).removeprefix("rsn_").partition(".")
            text = _decoded(inside)
            if hashlib.sha256(text.encode()).hexdigest()[:16] != digest:
                raise refused("The encrypted content could not be verified.")
            return "assistant", [{"reasoningContent": json.loads(text)}]
        case {"role": "system" | "developer", "content": content}:
            return "system", [{"text": _text(content)}]
        case {"role": str(role), "content": content}:
            return role, [{"text": _text(content)}]
        case _:
            raise refused(f"Invalid item of type {item.get('type')!r}.")


def _decoded(inside: str) -> str:
    try:
        return b64decode(inside).decode()
    except ValueError:
        raise refused("The encrypted content could not be verified.") from None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or f"({part.get('type')})" for part in content)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    if tool["type"] == "custom":
        schema = {"type": "object", "properties": {"input": {"type": "string"}}}
    return {"toolSpec": {"name": tool["name"], "inputSchema": {"json": schema}}}


def _text_format(schema: Any) -> dict[str, Any]:
    definition = {"schema": json.dumps_text(schema)}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


def chat_to_converse(body: dict[str, Any]) -> dict[str, Any]:
    """The Converse request that a request for a chat completion amounts to."""
    messages: list[dict[str, Any]] = []
    for message in body.get("messages") or ():
        role = "user" if message["role"] in ("tool", "user") else "assistant"
        if message["role"] in ("system", "developer"):
            continue
        block: dict[str, Any] = {"text": _text(message.get("content") or "")}
        if message["role"] == "tool":
            block = {"toolResult": {"toolUseId": message["tool_call_id"], "content": [block]}}
        messages.append({"role": role, "content": [block]})
    request: dict[str, Any] = {"messages": messages, "inferenceConfig": {}}
    if limit := body.get("max_completion_tokens") or body.get("max_tokens"):
        request["inferenceConfig"]["maxTokens"] = limit
    if body.get("tools"):
        request["toolConfig"] = {
            "tools": [_tool({"type": tool["type"], **tool[tool["type"]]}) for tool in body["tools"]]
        }
    return request


def bad_model(model: str, *, is_mantle: bool, path: str) -> ServiceError:
    """What a model says that is not served on this path."""
    if is_mantle:
        return refused(f"model `{model}` isn't supported on this route")
    return invalid(f"The model '{model}' does not support the '{path}' API")
