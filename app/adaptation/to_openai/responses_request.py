"""A Converse request as a request for a response.

Sources:
- docs/reference/contracts/openai-responses.md#objects
- recordings bedrock_mantle (2026-07)
"""

from collections.abc import Iterator
from typing import Any, cast

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.carried_contents import file_of, image_url, result_parts, system_text, text_of
from app.adaptation.to_openai.settings import answer_format, common_members, effort_in, functions_of, own_fields
from app.converse.content import ContentBlock, ToolResultBlock
from app.converse.encrypted_reasoning import item_of
from app.converse.request import Message, ToolChoice
from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject

ENCRYPTED = "reasoning.encrypted_content"


def response_request(adapted: AdaptedRequest, *, forbid_tools: bool, is_streamed: bool) -> JsonObject:
    """Return the body, without the model.

    Raises:
        InvalidRequest: there are stop sequences, for which this API has no member.
    """
    body, inference = adapted.body, adapted.body.get("inferenceConfig", {})
    if inference.get("stopSequences"):
        raise InvalidRequest("this model takes no stop sequences", param=adapted.path("stop"))
    document: JsonObject = {"input": [item for message in body["messages"] for item in _items(message)]}
    if instructions := system_text(body):
        document["instructions"] = instructions
    if "maxTokens" in inference:
        document["max_output_tokens"] = inference["maxTokens"]
    # Bedrock would keep the response for the whole account
    document |= {"store": False, **common_members(body, adapted.intent, is_streamed=is_streamed)}
    if tools := functions_of(body):
        document["tools"] = [{"type": "function", **tool} for tool in tools]
        document["tool_choice"] = "none" if forbid_tools else _choice(adapted)
    fields, unsent = own_fields(body)
    adapted.ignored += unsent
    reasoning = fields.get("reasoning")
    if effort := effort_in(fields, body):
        document["reasoning"] = {**(reasoning if isinstance(reasoning, dict) else {}), "effort": effort}
    text: JsonObject = {}
    if wanted := answer_format(body):
        text["format"] = {"type": "json_schema", **wanted.members()}
    if "verbosity" in fields:
        text["verbosity"] = fields.pop("verbosity")
    if text:
        document["text"] = text
    if adapted.capabilities.reasoning.encrypted:
        document["include"] = [ENCRYPTED]
    return {**document, **fields}


def _choice(adapted: AdaptedRequest) -> object:
    choice: ToolChoice = adapted.body["toolConfig"].get("toolChoice") or {"auto": {}}
    if "tool" in choice:
        return {"type": "function", "name": choice["tool"]["name"]}
    return "required" if "any" in choice else "auto"


def _items(message: Message) -> Iterator[JsonObject]:
    """Yield the items of a turn, in the order of its blocks."""
    role = "developer" if message["role"] == "system" else message["role"]
    parts: list[JsonObject] = []
    for block in message["content"]:
        item = _item(block)
        if item is None:
            parts += _parts(block)
            continue
        yield from _message(role, parts)
        parts = []
        yield item
    yield from _message(role, parts)


def _message(role: str, parts: list[JsonObject]) -> Iterator[JsonObject]:
    if not parts:
        return
    if role == "user" and (len(parts) > 1 or "text" not in parts[0]):
        yield {"role": role, "content": parts}
    else:
        # a text may be a string in every role; parts of an answer would need the ids of their items
        yield {"role": role, "content": "\n\n".join(part["text"] for part in parts)}


def _item(block: ContentBlock) -> JsonObject | None:
    """Return the item for a block that is one of its own."""
    if "toolUse" in block:
        use = block["toolUse"]
        arguments = json.dumps_text(use["input"])
        return {"type": "function_call", "call_id": use["toolUseId"], "name": use["name"], "arguments": arguments}
    if "toolResult" in block:
        result = block["toolResult"]
        return {"type": "function_call_output", "call_id": result["toolUseId"], "output": _output(result)}
    if "reasoningContent" in block and (item := item_of(block["reasoningContent"])) is not None:
        summary = [{"type": "summary_text", "text": item.text}] if item.text else []
        return {
            "type": "reasoning",
            "id": item.id,
            "summary": summary,
            "encrypted_content": item.encrypted_content,
        }
    return None


def _output(result: ToolResultBlock) -> object:
    has_failed = result.get("status") == "error"
    parts = [part for piece in result_parts(result["content"], has_failed=has_failed) for part in _parts(piece)]
    if all("text" in part for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _parts(block: object) -> Iterator[JsonObject]:
    """Yield the parts of a message for a block; none for a cache point, which this API has no member for."""
    text = text_of(block)
    given = cast(dict[str, Any], block)
    if text is not None:
        yield {"type": "input_text", "text": text}
    elif "image" in given:
        yield {"type": "input_image", "image_url": image_url(given["image"])}
    elif "document" in given:
        yield {"type": "input_file", **file_of(given["document"])}
