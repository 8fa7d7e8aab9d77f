"""InvokeModel with Anthropic Messages bodies: read as Converse, played, and told in Anthropic's events.

Shapes: contracts 3.2, 3.3 and 3.5; recording anthropic_mid_conversation_system for a reply over InvokeModel.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from app.converse.events import Event
from app.emulator.failure import invalid
from app.kit import json

_STOP_REASONS = {"guardrail_intervened": "refusal", "content_filtered": "refusal"}
_ALLOWED = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "cache_control",
        "context_management",
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)


def to_converse(body: Any) -> dict[str, Any]:
    """The Converse request that an Anthropic body amounts to.

    Raises:
        Failure: in AWS's words.
    """
    if not isinstance(body, dict):
        raise invalid("Malformed input request, please reformat your input and try again.")
    for name in ("anthropic_version", "max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    if extra := sorted(set(body) - _ALLOWED):
        raise invalid(f"{extra[0]}: Extra inputs are not permitted")
    request: dict[str, Any] = {
        "messages": [
            {"role": message["role"], "content": [_block(block) for block in _as_blocks(message["content"])]}
            for message in body["messages"]
        ],
        "inferenceConfig": {"maxTokens": body["max_tokens"]},
    }
    for theirs, ours in (("temperature", "temperature"), ("top_p", "topP"), ("stop_sequences", "stopSequences")):
        if theirs in body:
            request["inferenceConfig"][ours] = body[theirs]
    if system := body.get("system"):
        request["system"] = [{"text": block["text"]} for block in _as_blocks(system)]
    if tools := body.get("tools"):
        request["toolConfig"] = {"tools": [_tool(tool) for tool in tools]} | _choice(body.get("tool_choice"))
    if thinking := body.get("thinking"):
        request["additionalModelRequestFields"] = {"thinking": thinking}
    return request


def _as_blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _block(block: Any) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": text}:
            return {"text": text}
        case {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}:
            return {"image": {"format": media_type.rpartition("/")[2], "source": {"bytes": data}}}
        case {"type": "document", "source": {"data": data}}:
            name = block.get("title") or "document"
            return {"document": {"format": "pdf", "name": name, "source": {"bytes": data}}}
        case {"type": "thinking", "thinking": text, "signature": signature}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": data}:
            return {"reasoningContent": {"redactedContent": data}}
        case {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}:
            return {"toolUse": {"toolUseId": tool_id, "name": name, "input": arguments}}
        case {"type": "tool_result", "tool_use_id": tool_id}:
            content = [_block(part) for part in _as_blocks(block.get("content") or [])]
            status = "error" if block.get("is_error") else "success"
            return {"toolResult": {"toolUseId": tool_id, "content": content, "status": status}}
        case _:
            raise invalid(f"messages: Input tag {block.get('type')!r} does not match any of the expected tags")


def _tool(tool: Any) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom":
        raise invalid(
            f"tools.0: Input tag '{tool['type']}' found using 'type' does not match any of the expected tags: 'custom'"
        )
    return {"toolSpec": {"name": tool["name"], "inputSchema": {"json": tool["input_schema"]}}}


def _choice(choice: Any) -> dict[str, Any]:
    match (choice or {}).get("type"):
        case "any":
            return {"toolChoice": {"any": {}}}
        case "tool":
            return {"toolChoice": {"tool": {"name": choice["name"]}}}
        case _:
            return {}


async def to_anthropic(events: AsyncIterator[Event], model: str, body: Any) -> AsyncIterator[dict[str, Any]]:
    """Anthropic's stream events for Converse's; the last carries Bedrock's invocation metrics."""
    seed = hashlib.sha256(json.dumps(body)).hexdigest()[:24]
    opened: dict[int, str] = {}
    usage: dict[str, int] = {"inputTokens": 0, "outputTokens": 0}
    reason: str | None = None
    async for event in events:
        match event:
            case {"messageStart": _}:
                yield {
                    "type": "message_start",
                    "message": {
                        "id": f"msg_bdrk_{seed}",
                        "type": "message",
                        "role": "assistant",
                        "model": model.partition(".")[2].partition("-v1:")[0],
                        "content": [],
                        "stop_reason": None,
                        "stop_sequence": None,
                        "usage": {"input_tokens": 0, "output_tokens": 0},
                    },
                }
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                opened[index] = "tool_use"
                block: dict[str, Any] = {"type": "tool_use", "id": tool["toolUseId"], "name": tool["name"], "input": {}}
                yield {"type": "content_block_start", "index": index, "content_block": block}
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                block, change = _delta(delta)
                if index not in opened:
                    opened[index] = block["type"]
                    yield {"type": "content_block_start", "index": index, "content_block": block}
                if change is not None:
                    yield {"type": "content_block_delta", "index": index, "delta": change}
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in opened:
                yield {"type": "content_block_stop", "index": index}
            case {"messageStop": {"stopReason": stop}}:
                reason = _STOP_REASONS.get(stop, stop)
            case {"metadata": {"usage": counted}}:
                usage = {**counted}  # type: ignore[dict-item]
    spent = {"input_tokens": usage["inputTokens"], "output_tokens": usage["outputTokens"]}
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": spent}
    yield {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": usage["inputTokens"],
            "outputTokenCount": usage["outputTokens"],
            "invocationLatency": 1,
            "firstByteLatency": 1,
        },
    }


def _delta(delta: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The block that a delta opens if it is the first, and the change that it makes."""
    match delta:
        case {"text": text}:
            return {"type": "text", "text": ""}, {"type": "text_delta", "text": text}
        case {"toolUse": {"input": piece}}:
            return {"type": "tool_use"}, {"type": "input_json_delta", "partial_json": piece}
        case {"reasoningContent": {"redactedContent": data}}:
            return {"type": "redacted_thinking", "data": data}, None
        case {"reasoningContent": {"signature": signature}}:
            return {"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": signature}
        case {"reasoningContent": {"text": text}}:
            return {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": text}
        case _:
            return {"type": "text", "text": ""}, None


async def gather(events: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The whole message that Anthropic's stream events amount to."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    async for event in events:
        match event:
            case {"type": "message_start", "message": started}:
                message = started
            case {"type": "content_block_start", "content_block": block}:
                message["content"].append(dict(block))
            case {"type": "content_block_delta", "index": index, "delta": {"type": kind} as delta}:
                if kind == "input_json_delta":
                    inputs[index] = inputs.get(index, "") + delta["partial_json"]
                else:
                    name = kind.removesuffix("_delta")
                    block = message["content"][-1]
                    block[name] = block.get(name, "") + delta[name]
            case {"type": "content_block_stop", "index": index} if index in inputs:
                message["content"][-1]["input"] = json.loads(inputs[index] or "{}")
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= {**delta, "usage": usage}
    return message
