"""Converse events, converted to the stream events of Anthropic Messages."""

import hashlib
from collections.abc import AsyncIterator

from app.converse.events import ContentBlockDelta, Event
from app.converse.reply import TokenUsage
from app.wire import json
from app.wire.json import JsonObject

_STOP_REASONS = {
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "malformed_tool_use": "end_turn",
    "malformed_model_output": "end_turn",
}


async def to_anthropic(
    events: AsyncIterator[Event], model: str, body: object, input_tokens: int
) -> AsyncIterator[JsonObject]:
    """Convert a stream; its last event carries Bedrock's invocation metrics.

    Args:
        model: Bedrock's model id. body: the request, which determines the id of the message.
    """
    started: set[int] = set()
    stop: JsonObject = {}
    usage: TokenUsage = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    async for event in events:
        match event:
            case {"messageStart": _}:
                yield {"type": "message_start", "message": _empty_message(model, body, input_tokens)}
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                started.add(index)
                kind = tool.get("type") or "tool_use"
                block: JsonObject = {"type": kind, "id": tool["toolUseId"], "name": tool["name"], "input": {}}
                yield {"type": "content_block_start", "index": index, "content_block": block}
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                block, change = _delta(delta)
                if index not in started:
                    started.add(index)
                    yield {"type": "content_block_start", "index": index, "content_block": block}
                if change is not None:
                    yield {"type": "content_block_delta", "index": index, "delta": change}
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in started:
                yield {"type": "content_block_stop", "index": index}
            case {"messageStop": message_stop}:
                reason = message_stop["stopReason"]
                extra = message_stop.get("additionalModelResponseFields") or {}
                stop = {
                    "stop_reason": _STOP_REASONS.get(reason, reason),
                    "stop_sequence": extra.get("stop_sequence"),
                }
            case {"metadata": metadata}:
                usage = metadata["usage"]
    yield {"type": "message_delta", "delta": stop, "usage": _usage(usage)}
    yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": _metrics(usage)}


def _empty_message(model: str, body: object, input_tokens: int) -> JsonObject:
    return {
        "id": f"msg_bdrk_{hashlib.sha256(json.dumps(body)).hexdigest()[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model.partition(".")[2].partition("-v1:")[0],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": 0},
    }


def _usage(usage: TokenUsage) -> dict[str, int]:
    counts = {"input_tokens": usage["inputTokens"], "output_tokens": usage["outputTokens"]}
    if "cacheReadInputTokens" in usage:
        counts["cache_read_input_tokens"] = usage["cacheReadInputTokens"]
        counts["cache_creation_input_tokens"] = usage["cacheWriteInputTokens"]
    return counts


def _metrics(usage: TokenUsage) -> dict[str, int]:
    return {
        "inputTokenCount": usage["inputTokens"],
        "outputTokenCount": usage["outputTokens"],
        "invocationLatency": 1,
        "firstByteLatency": 1,
        "cacheReadInputTokenCount": usage.get("cacheReadInputTokens", 0),
        "cacheWriteInputTokenCount": usage.get("cacheWriteInputTokens", 0),
    }


def _delta(delta: ContentBlockDelta) -> tuple[JsonObject, JsonObject | None]:
    """The block that a delta starts if it is the block's first, and the change to the block."""
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
        case {"citation": citation}:
            location = {"type": "char_location", "cited_text": "", "document_title": citation.get("title")}
            return {"type": "text", "text": ""}, {"type": "citations_delta", "citation": location}
        case {"toolResult": parts}:
            return {"type": "code_execution_tool_result", "content": parts}, None
        case _:
            return {"type": "text", "text": ""}, None
