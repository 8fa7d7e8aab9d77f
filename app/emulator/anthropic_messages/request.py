"""An Anthropic Messages body, converted to a Converse request."""

from itertools import groupby
from typing import cast

from app.converse.request import ConverseRequest
from app.emulator.anthropic_messages.body_rules import check_fields, check_messages
from app.emulator.anthropic_messages.content import as_blocks, content_block, tool
from app.emulator.errors import MALFORMED, invalid
from app.wire import json
from app.wire.json import JsonObject

_MODEL_FIELDS = ("thinking", "top_k", "output_config")
_INFERENCE_NAMES = {"temperature": "temperature", "top_p": "topP", "stop_sequences": "stopSequences"}


def to_converse(body: object) -> ConverseRequest:
    """Convert a body; values that Converse has as they are pass unchecked.

    Raises:
        ServiceError: a ValidationException.
    """
    fields = check_fields(body)
    try:
        return _to_converse(fields)
    except (LookupError, TypeError, AttributeError, ValueError):
        raise invalid(MALFORMED) from None


def _to_converse(body: JsonObject) -> ConverseRequest:
    check_messages(body)
    request: JsonObject = {
        "messages": _messages(body),
        "inferenceConfig": {"maxTokens": body["max_tokens"] or 1}
        | {name: body[field] for field, name in _INFERENCE_NAMES.items() if field in body},
        "additionalModelRequestFields": {name: body[name] for name in _MODEL_FIELDS if name in body},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }
    if system := body.get("system"):
        request["system"] = [{"text": block["text"]} for block in as_blocks(system)]
    return cast(ConverseRequest, {**request, **_tool_config(body), **_output_config(body)})


def _messages(body: JsonObject) -> list[JsonObject]:
    """The messages; turns of the same role that follow each other are joined."""
    turns = [
        (message["role"], [content_block(block) for block in as_blocks(message["content"])])
        for message in body["messages"]
    ]
    return [
        {"role": role, "content": [block for _, blocks in group for block in blocks]}
        for role, group in groupby(turns, key=lambda turn: turn[0])
    ]


def _tool_config(body: JsonObject) -> JsonObject:
    choice = body.get("tool_choice") or {}
    if not body.get("tools") or choice.get("type") == "none":
        return {}
    config: JsonObject = {"tools": [tool(each) for each in body["tools"]]}
    match choice.get("type"):
        case "any":
            config["toolChoice"] = {"any": {}}
        case "tool":
            config["toolChoice"] = {"tool": {"name": choice["name"]}}
    return {"toolConfig": config}


def _output_config(body: JsonObject) -> JsonObject:
    output_format = (body.get("output_config") or {}).get("format")
    if not output_format:
        return {}
    definition = {"schema": json.dumps_text(output_format["schema"])}
    return {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}}
