"""Converse events, converted to the chunks of Chat Completions or to a complete one."""

import hashlib
from collections.abc import AsyncIterator

from app.converse.events import Event
from app.emulator.openai_api.shapes import CREATED, openai_usage
from app.wire import json
from app.wire.json import JsonObject

_FINISH_REASONS = {"max_tokens": "length", "tool_use": "tool_calls"}


async def to_chunks(events: AsyncIterator[Event], body: JsonObject) -> AsyncIterator[JsonObject]:
    """Convert a stream; the last chunk has the usage."""
    head = {
        "id": f"chatcmpl-{hashlib.sha256(json.dumps(body)).hexdigest()[:24]}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body.get("model"),
    }
    wants_usage = (body.get("stream_options") or {}).get("include_usage") or not body.get("stream")
    # every chunk has the member if it is requested (OpenAI's document)
    head |= {"usage": None} if body.get("stream") and wants_usage else {}
    call = -1
    async for event in events:
        if "metadata" in event:
            if wants_usage:
                yield {**head, "choices": [], "usage": openai_usage(event["metadata"]["usage"], "prompt", "completion")}
            continue
        if _starts_call(event):
            call += 1
        choice = _choice(event, call)
        if choice is not None:
            yield {**head, "choices": [choice]}


def _starts_call(event: Event) -> bool:
    return "contentBlockStart" in event and "toolUse" in event["contentBlockStart"]["start"]


def _choice(event: Event, call: int) -> JsonObject | None:
    """The choice of a chunk, or None for an event without one; `call` is the index of the current tool call."""
    match event:
        case {"messageStart": _}:
            return _delta({"role": "assistant", "content": ""})
        case {"contentBlockStart": {"start": {"toolUse": tool}}}:
            function = {"name": tool["name"], "arguments": ""}
            return _delta(
                {"tool_calls": [{"index": call, "id": f"call_{call}", "type": "function", "function": function}]}
            )
        case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}}}:
            return _delta({"tool_calls": [{"index": call, "function": {"arguments": piece}}]})
        case {"contentBlockDelta": {"delta": {"text": text}}}:
            return _delta({"content": text})
        case {"messageStop": {"stopReason": reason}}:
            return _delta({}, _FINISH_REASONS.get(reason, "stop"))
        case _:
            return None


def _delta(delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


async def gather_completion(chunks: AsyncIterator[JsonObject]) -> JsonObject:
    """Collect a stream of chunks into a complete chat completion."""
    message: JsonObject = {"role": "assistant", "content": "", "refusal": None}
    completion: JsonObject = {}
    reason = None
    async for chunk in chunks:
        completion |= {name: chunk[name] for name in ("id", "created", "model")}
        if chunk.get("usage"):
            completion["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for piece in delta.get("tool_calls", ()):
                _add_call_piece(message.setdefault("tool_calls", []), piece)
            reason = choice["finish_reason"] or reason
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**completion, "object": "chat.completion", "choices": [choice]}


def _add_call_piece(calls: list[JsonObject], piece: JsonObject) -> None:
    if "id" in piece:
        calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
    else:
        calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
