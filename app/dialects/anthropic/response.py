"""Translates a reply of Converse to a message.

Sources:
- docs/reference/contracts/anthropic-messages.md#reply
- docs/reference/contracts/mapping.md
"""

from typing import Any

from app.converse.reply import MALFORMED_OUTPUT, Reply
from app.dialects.anthropic.citations import from_converse
from app.dialects.anthropic.response_context import MessageResponseContext, stop_reason, usage_body
from app.errors import UpstreamFailed
from app.wire.json import JsonObject


def from_reply(reply: Reply, response_context: MessageResponseContext) -> JsonObject:
    """Return the `message` object.

    Raises:
        UpstreamFailed: the stop reason reports malformed output.
    """
    if reply["stopReason"] in MALFORMED_OUTPUT:
        raise UpstreamFailed("the model's output was malformed", detail=reply["stopReason"])
    content = [block for each in reply["output"]["message"]["content"] for block in _blocks(each)]
    usage: Any = reply["usage"]
    return {
        "id": response_context.id,
        "type": "message",
        "role": "assistant",
        "model": response_context.model,
        "content": content,
        "stop_reason": stop_reason(reply["stopReason"], has_calls=any(each["type"] == "tool_use" for each in content)),
        "stop_sequence": None,
        "usage": usage_body(usage, reply.get("serviceTier", {}).get("type")),
    }


def _blocks(block: Any) -> list[JsonObject]:
    """Return Anthropic's blocks for a block; none for calls of the provider's own tools."""
    match block:
        case {"text": text}:
            return [{"type": "text", "text": text}]
        case {"toolUse": tool} if tool.get("type") != "server_tool_use":
            return [{"type": "tool_use", "id": tool["toolUseId"], "name": tool["name"], "input": tool["input"]}]
        case {"reasoningContent": {"reasoningText": reasoning}}:
            return [thinking_block(reasoning.get("text", ""), reasoning.get("signature", ""))]
        case {"reasoningContent": {"redactedContent": data}}:
            return [{"type": "redacted_thinking", "data": data}]
        case {"citationsContent": cited}:
            text = "".join(piece.get("text", "") for piece in cited.get("content", []))
            return [
                {
                    "type": "text",
                    "text": text,
                    "citations": [from_converse(each) for each in cited.get("citations", [])],
                }
            ]
        case {"image": image}:
            return [image_block(image["format"], image["source"])]
        case _:
            return []


def thinking_block(text: str, signature: str) -> JsonObject:
    """Return a block of reasoning."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def image_block(image_format: str, source: JsonObject) -> JsonObject:
    """Return an image of the model, in the form that Anthropic's requests have."""
    if "bytes" in source:
        media = {"type": "base64", "media_type": f"image/{image_format}", "data": source["bytes"]}
        return {"type": "image", "source": media}
    return {"type": "image", "source": {"type": "url", "url": source.get("s3Location", {}).get("uri", "")}}
