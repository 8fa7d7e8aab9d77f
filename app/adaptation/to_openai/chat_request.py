"""A Converse request as a request for a chat completion.

Source: docs/reference/contracts/openai-chat.md#request-fields
"""

from collections.abc import Iterator
from typing import Any, cast

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.carried_contents import file_of, image_url, result_parts, system_text, text_of
from app.adaptation.to_openai.settings import answer_format, common_members, effort_in, functions_of, own_fields
from app.converse.content import ToolResultBlock
from app.converse.request import Message, ToolChoice
from app.errors import InvalidRequest
from app.wire import json
from app.wire.json import JsonObject


def chat_request(adapted: AdaptedRequest, *, forbid_tools: bool, is_streamed: bool) -> JsonObject:
    """Return the body, without the model.

    Raises:
        InvalidRequest: a tool result holds what is not text.
    """
    body, inference = adapted.body, adapted.body.get("inferenceConfig", {})
    system = system_text(body)
    messages: list[JsonObject] = [{"role": "system", "content": system}] if system else []
    messages += [made for message in body["messages"] for made in _messages(message)]
    document: JsonObject = {"messages": messages, **common_members(body, adapted.intent, is_streamed=is_streamed)}
    if "maxTokens" in inference:
        document["max_completion_tokens"] = inference["maxTokens"]
    if stops := inference.get("stopSequences"):
        document["stop"] = stops
    if tools := functions_of(body):
        document["tools"] = [{"type": "function", "function": tool} for tool in tools]
        document["tool_choice"] = "none" if forbid_tools else _choice(adapted)
    if wanted := answer_format(body):
        document["response_format"] = {"type": "json_schema", "json_schema": wanted.members()}
    fields, unsent = own_fields(body)
    adapted.ignored += unsent
    if effort := effort_in(fields, body):
        document["reasoning_effort"] = effort
    if is_streamed:
        document["stream_options"] = {"include_usage": True}
    return {**document, **fields}


def _choice(adapted: AdaptedRequest) -> object:
    choice: ToolChoice = adapted.body["toolConfig"].get("toolChoice") or {"auto": {}}
    if "tool" in choice:
        return {"type": "function", "function": {"name": choice["tool"]["name"]}}
    return "required" if "any" in choice else "auto"


def _messages(message: Message) -> Iterator[JsonObject]:
    """Yield the messages of a turn: each tool result is one of its own."""
    parts: list[JsonObject] = []
    calls: list[JsonObject] = []
    for block in message["content"]:
        if "toolResult" in block:
            yield from _said(message["role"], parts, [])
            parts = []
            yield _result(block["toolResult"])
        elif "toolUse" in block:
            use = block["toolUse"]
            function = {"name": use["name"], "arguments": json.dumps_text(use["input"])}
            calls.append({"id": use["toolUseId"], "type": "function", "function": function})
        else:
            parts += _parts(block)
    yield from _said(message["role"], parts, calls)


def _said(role: str, parts: list[JsonObject], calls: list[JsonObject]) -> Iterator[JsonObject]:
    if not parts and not calls:
        return
    called: JsonObject = {"tool_calls": calls} if calls else {}
    if all("text" in part for part in parts):
        text = "\n\n".join(part["text"] for part in parts)
        yield {"role": role, "content": text if text or not calls else None, **called}
    else:
        yield {"role": role, "content": parts, **called}


def _result(result: ToolResultBlock) -> JsonObject:
    texts: list[str] = []
    for piece in result_parts(result["content"], has_failed=result.get("status") == "error"):
        text = text_of(piece)
        if text is None:
            raise InvalidRequest("this model accepts only text in a tool's result", param="messages")
        texts.append(text)
    return {"role": "tool", "tool_call_id": result["toolUseId"], "content": "\n".join(texts)}


def _parts(block: object) -> Iterator[JsonObject]:
    """Yield the parts of a message for a block; none for one that this API has no member for."""
    text = text_of(block)
    given = cast(dict[str, Any], block)
    if text is not None:
        yield {"type": "text", "text": text}
    elif "image" in given:
        yield {"type": "image_url", "image_url": {"url": image_url(given["image"])}}
    elif "document" in given:
        yield {"type": "file", "file": file_of(given["document"])}
