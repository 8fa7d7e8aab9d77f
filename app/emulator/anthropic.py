"""InvokeModel with Anthropic Messages bodies: read as Converse, played, and told in Anthropic's events.

Shapes: contracts 3.2, 3.3 and 3.5; recording anthropic_mid_conversation_system for a reply over InvokeModel.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

from app.converse.events import Event
from app.emulator.errors import invalid
from app.wire import json

_MALFORMED = "Malformed input request, please reformat your input and try again."
_STOP_REASONS = {
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "malformed_tool_use": "end_turn",
    "malformed_model_output": "end_turn",
}
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
_NEWEST_VERSION = "2026-10-21"
_OWN_FIELDS = ("thinking", "top_k", "output_config")
_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")
# recording anthropic_bedrock_count_tokens_rejects_server_tools
_TOOL_TYPES = ("bash_20250124", "custom", "text_editor_20250124", "text_editor_20250429", "text_editor_20250728")


def to_converse(body: Any) -> dict[str, Any]:
    """The Converse request that an Anthropic body amounts to.

    Raises:
        ServiceError: in AWS's words.
    """
    if not isinstance(body, dict) or "anthropic_version" not in body:
        raise invalid(_MALFORMED)
    for name in ("max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    if extra := sorted(set(body) - _ALLOWED):
        raise invalid(f"{extra[0]}: Extra inputs are not permitted")
    try:
        return _request(body)
    except (LookupError, TypeError, AttributeError, ValueError):
        raise invalid(_MALFORMED) from None


def _request(body: dict[str, Any]) -> dict[str, Any]:
    if body["messages"][0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    _check_calls(body)
    turns = [
        (message["role"], [_block(block) for block in _as_blocks(message["content"])]) for message in body["messages"]
    ]
    request: dict[str, Any] = {
        "messages": [
            {"role": role, "content": [block for _, blocks in group for block in blocks]}
            for role, group in groupby(turns, key=lambda turn: turn[0])
        ],
        "inferenceConfig": {"maxTokens": body["max_tokens"] or 1},
        "additionalModelRequestFields": {name: body[name] for name in _OWN_FIELDS if name in body},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }
    for theirs, ours in (("temperature", "temperature"), ("top_p", "topP"), ("stop_sequences", "stopSequences")):
        if theirs in body:
            request["inferenceConfig"][ours] = body[theirs]
    if system := body.get("system"):
        request["system"] = [{"text": block["text"]} for block in _as_blocks(system)]
    choice = body.get("tool_choice") or {}
    if body.get("tools") and choice.get("type") != "none":
        request["toolConfig"] = {"tools": [_tool(tool) for tool in body["tools"]], **_choice(choice)}
    if wanted := (body.get("output_config") or {}).get("format"):
        definition = {"schema": json.dumps_text(wanted["schema"])}
        request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
    return request


def _check_calls(body: dict[str, Any]) -> None:
    """Ids as bifrost#5097 and claude-code#20901 had them refused; pictures of the assistant's, as seen live in 2026;
    and its documents since version 2026-10-21 (contracts 3.1).
    """
    refused = ("image", "document") if body["anthropic_version"] == _NEWEST_VERSION else ("image",)
    seen: set[str] = set()
    for turn, message in enumerate(body["messages"]):
        for place, block in enumerate(_as_blocks(message["content"])):
            path, kind = f"messages.{turn}.content", block.get("type")
            if kind in refused and message["role"] == "assistant":
                raise invalid(f"{path}: '{kind}' blocks are not permitted within assistant turns")
            if kind != "tool_use":
                continue
            if not _ID.match(block["id"]):
                raise invalid(f"{path}.{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if block["id"] in seen:
                raise invalid(f"{path}.{place}: `tool_use` ids must be unique")
            seen.add(block["id"])


def _as_blocks(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise TypeError
    return content


def _block(block: Any) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": str(text)}:
            return {"text": text}
        case {"type": "image", "source": {"type": "base64", "media_type": str(media_type), "data": str(data)}}:
            return {"image": {"format": media_type.rpartition("/")[2], "source": {"bytes": data}}}
        case {"type": "document"}:
            return {"document": {"format": "pdf", "name": block.get("title") or "document", "source": {}}}
        case {"type": "search_result"}:
            return {"searchResult": block}
        case {"type": "thinking", "thinking": str(text), "signature": signature}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": data}:
            return {"reasoningContent": {"redactedContent": data}}
        case {"type": "tool_use" | "server_tool_use", "id": tool_id, "name": name, "input": arguments}:
            return {"toolUse": {"toolUseId": tool_id, "name": name, "input": arguments}}
        case {"type": "tool_result", "tool_use_id": tool_id}:
            content = [_block(part) for part in _as_blocks(block.get("content") or [])]
            status = "error" if block.get("is_error") else "success"
            return {"toolResult": {"toolUseId": tool_id, "content": content, "status": status}}
        case _:
            raise invalid(f"messages: Input tag {block.get('type')!r} does not match any of the expected tags")


def _tool(tool: Any) -> dict[str, Any]:
    kind = tool.get("type", "custom")
    if kind not in _TOOL_TYPES:
        expected = ", ".join(f"'{each}'" for each in _TOOL_TYPES)
        raise invalid(
            f"tools.0: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}"
        )
    schema = tool["input_schema"] if kind == "custom" else {"type": "object", "properties": {}}
    return {"toolSpec": {"name": tool["name"], "inputSchema": {"json": schema}}}


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    match choice.get("type"):
        case "any":
            return {"toolChoice": {"any": {}}}
        case "tool":
            return {"toolChoice": {"tool": {"name": choice["name"]}}}
        case _:
            return {}


async def to_anthropic(
    events: AsyncIterator[Event], model: str, body: Any, input_tokens: int
) -> AsyncIterator[dict[str, Any]]:
    """Anthropic's stream events for Converse's; the last carries Bedrock's invocation metrics."""
    opened: set[int] = set()
    stop: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    async for event in events:
        match event:
            case {"messageStart": _}:
                yield {"type": "message_start", "message": _empty_message(model, body, input_tokens)}
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                opened.add(index)
                kind = tool.get("type") or "tool_use"
                block: dict[str, Any] = {"type": kind, "id": tool["toolUseId"], "name": tool["name"], "input": {}}
                yield {"type": "content_block_start", "index": index, "content_block": block}
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                block, change = _delta(delta)
                if index not in opened:
                    opened.add(index)
                    yield {"type": "content_block_start", "index": index, "content_block": block}
                if change is not None:
                    yield {"type": "content_block_delta", "index": index, "delta": change}
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in opened:
                yield {"type": "content_block_stop", "index": index}
            case {"messageStop": {"stopReason": reason, **rest}}:
                extra: Any = rest.get("additionalModelResponseFields") or {}
                stop = {
                    "stop_reason": _STOP_REASONS.get(str(reason), reason),
                    "stop_sequence": extra.get("stop_sequence"),
                }
            case {"metadata": {"usage": counted}}:
                usage = {**counted}
    yield {"type": "message_delta", "delta": stop, "usage": _usage(usage)}
    yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": _metrics(usage)}


def _empty_message(model: str, body: Any, input_tokens: int) -> dict[str, Any]:
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


def _usage(usage: dict[str, Any]) -> dict[str, int]:
    counted = {"input_tokens": usage["inputTokens"], "output_tokens": usage["outputTokens"]}
    if "cacheReadInputTokens" in usage:
        counted["cache_read_input_tokens"] = usage["cacheReadInputTokens"]
        counted["cache_creation_input_tokens"] = usage["cacheWriteInputTokens"]
    return counted


def _metrics(usage: dict[str, Any]) -> dict[str, int]:
    return {
        "inputTokenCount": usage["inputTokens"],
        "outputTokenCount": usage["outputTokens"],
        "invocationLatency": 1,
        "firstByteLatency": 1,
        "cacheReadInputTokenCount": usage.get("cacheReadInputTokens", 0),
        "cacheWriteInputTokenCount": usage.get("cacheWriteInputTokens", 0),
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
        case {"citation": citation}:
            cited = {"type": "char_location", "cited_text": "", "document_title": citation.get("title")}
            return {"type": "text", "text": ""}, {"type": "citations_delta", "citation": cited}
        case {"toolResult": parts}:
            return {"type": "code_execution_tool_result", "content": parts}, None
        case _:
            return {"type": "text", "text": ""}, None


async def gather(events: AsyncIterator[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, int]]:
    """The whole message that Anthropic's stream events amount to, and Bedrock's metrics of it."""
    message: dict[str, Any] = {}
    metrics: dict[str, int] = {}
    pieces: dict[str, list[str]] = {}
    async for event in events:
        match event:
            case {"type": "message_start", "message": started}:
                message = started
            case {"type": "content_block_start", "content_block": block}:
                message["content"].append(dict(block))
                pieces = {}
            case {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": citation}}:
                message["content"][-1].setdefault("citations", []).append(citation)
            case {"type": "content_block_delta", "delta": {"type": kind, **change}}:
                ((_, piece),) = change.items()
                pieces.setdefault(str(kind).removesuffix("_delta"), []).append(str(piece))
            case {"type": "content_block_stop"}:
                written = {name: "".join(parts) for name, parts in pieces.items()}
                if "input_json" in written:
                    written["input"] = json.loads(written.pop("input_json") or "{}")
                message["content"][-1] |= written
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= {**delta, "usage": usage}
            case {"type": "message_stop", "amazon-bedrock-invocationMetrics": counted}:
                metrics = counted
    return message, metrics
