"""The surfaces that speak OpenAI: Converse's events, told as chunks, as events of a response, or whole.

Shapes and framing: the recordings of mantle (`data:` before `event:`, call ids that repeat, members of a response).
"""

import hashlib
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.converse.events import Event
from app.wire import json

_CREATED = 1784577556


def seal(thought: dict[str, Any]) -> str:
    """A thought, encrypted: here only so that what comes back changed is seen."""
    text = json.dumps_text(thought)
    return f"rsn_{hashlib.sha256(text.encode()).hexdigest()[:16]}.{b64encode(text.encode()).decode()}"


async def to_responses(events: AsyncIterator[Event], body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """OpenAI's events of a response for Converse's."""
    teller = _Teller(body)
    async for event in events:
        for told in teller.tell(event):
            yield told


class _Teller:
    """Tells of one response."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._digest = uuid.uuid4().hex * 2
        self._is_asked = "reasoning.encrypted_content" in (body.get("include") or ())
        self._custom = {tool["name"] for tool in body.get("tools") or () if tool.get("type") == "custom"}
        self._number = self._calls = 0
        self._items: dict[int, dict[str, Any]] = {}
        self._output: list[dict[str, Any]] = []
        self._stop = ""
        self._response: dict[str, Any] = {
            "id": f"resp_{self._digest[:52]}",
            "object": "response",
            "created_at": _CREATED,
            "model": body.get("model"),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "metadata": body.get("metadata") or {},
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0,
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_p": 0.98,
            "usage": None,
        }

    def tell(self, event: Any) -> Iterator[dict[str, Any]]:
        """The events for one of Converse's."""
        match event:
            case {"messageStart": _}:
                yield self._event("response.created", response=self._response)
                yield self._event("response.in_progress", response=self._response)
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                kind = "custom_tool_call" if tool["name"] in self._custom else "function_call"
                named = {"call_id": f"call_{self._calls}", "name": tool["name"]}
                self._calls += 1
                yield self._added(index, "fc", kind, **named)
            case {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}:
                yield from self._delta(delta, index)
            case {"contentBlockStop": {"contentBlockIndex": index}}:
                yield from self._done(self._items[index], index)
            case {"messageStop": {"stopReason": reason}}:
                self._stop = reason
            case {"metadata": {"usage": usage}}:
                is_cut = self._stop == "max_tokens"
                ended = {
                    **self._response,
                    "status": "incomplete" if is_cut else "completed",
                    "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
                    "output": self._output,
                    "usage": _usage(usage, "input", "output"),
                }
                yield self._event("response.incomplete" if is_cut else "response.completed", response=ended)

    def _event(self, kind: str, **members: Any) -> dict[str, Any]:
        made = {**members, "sequence_number": self._number, "type": kind}
        self._number += 1
        return made

    def _added(self, index: int, prefix: str, kind: str, **members: Any) -> dict[str, Any]:
        item = {"id": f"{prefix}_{self._digest[:24]}{index:08d}", "type": kind, **members, "pieces": [], "thought": {}}
        self._items[index] = item
        return self._event("response.output_item.added", output_index=index, item=_shown(item, "in_progress"))

    def _delta(self, delta: Any, index: int) -> Iterator[dict[str, Any]]:
        match delta:
            case {"toolUse": {"input": piece}}:
                item = self._items[index]
                item["pieces"].append(piece)
                if piece and item["type"] == "function_call":
                    place = {"item_id": item["id"], "output_index": index}
                    yield self._event("response.function_call_arguments.delta", **place, delta=piece)
            case {"reasoningContent": thought}:
                if index not in self._items:
                    yield self._added(index, "rs", "reasoning")
                kept = self._items[index]["thought"]
                for name, value in thought.items():
                    kept[name] = kept.get(name, "") + str(value)
            case {"text": text}:
                if index not in self._items:
                    yield self._added(index, "msg", "message")
                    part = {"type": "output_text", "text": "", "annotations": []}
                    yield self._event("response.content_part.added", **self._place(index), part=part)
                self._items[index]["pieces"].append(text)
                yield self._event("response.output_text.delta", **self._place(index), delta=text, logprobs=[])

    def _place(self, index: int) -> dict[str, Any]:
        return {"item_id": self._items[index]["id"], "output_index": index, "content_index": 0}

    def _done(self, item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        done = _shown(item, "completed", is_asked=self._is_asked)
        if item["type"] == "message":
            (part,) = done["content"]
            yield self._event("response.output_text.done", **self._place(index), text=part["text"], logprobs=[])
            yield self._event("response.content_part.done", **self._place(index), part=part)
        elif item["type"] == "function_call":
            place = {"item_id": item["id"], "output_index": index}
            yield self._event("response.function_call_arguments.done", **place, arguments=done["arguments"])
        self._output.append(done)
        yield self._event("response.output_item.done", output_index=index, item=done)


def _shown(item: dict[str, Any], status: str, *, is_asked: bool = False) -> dict[str, Any]:
    kept = {name: value for name, value in item.items() if name not in ("pieces", "thought")}
    text = "".join(item.get("pieces", ()))
    match item["type"]:
        case "message":
            content = [{"type": "output_text", "text": text, "annotations": []}] if status == "completed" else []
            return {**kept, "role": "assistant", "status": status, "content": content}
        case "reasoning":
            sealed = {"encrypted_content": seal(item["thought"])} if is_asked and item["thought"] else {}
            return {**kept, "summary": [], **sealed}
        case "custom_tool_call":
            return {**kept, "status": status, "input": json.loads(text or "{}").get("input", "")}
        case _:
            return {**kept, "status": status, "arguments": text or ("{}" if status == "completed" else "")}


def _usage(usage: Any, prompt: str, completion: str) -> dict[str, Any]:
    read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    spent = usage["inputTokens"] + read + written
    return {
        f"{prompt}_tokens": spent,
        f"{prompt}_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        f"{completion}_tokens": usage["outputTokens"],
        f"{completion}_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": spent + usage["outputTokens"],
    }


async def to_chunks(events: AsyncIterator[Event], body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """OpenAI's chunks for Converse's events; the last has the usage."""
    digest = hashlib.sha256(json.dumps(body)).hexdigest()
    head = {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": body.get("model"),
    }
    calls = -1

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    async for each in events:
        match each:
            case {"messageStart": _}:
                yield chunk({"role": "assistant", "content": ""})
            case {"contentBlockStart": {"start": {"toolUse": tool}}}:
                calls += 1
                function = {"name": tool["name"], "arguments": ""}
                yield chunk(
                    {"tool_calls": [{"index": calls, "id": f"call_{calls}", "type": "function", "function": function}]}
                )
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}}}:
                yield chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]})
            case {"contentBlockDelta": {"delta": {"text": text}}}:
                yield chunk({"content": text})
            case {"messageStop": {"stopReason": reason}}:
                yield chunk({}, {"max_tokens": "length", "tool_use": "tool_calls"}.get(str(reason), "stop"))
            case {"metadata": {"usage": usage}}:
                if (body.get("stream_options") or {}).get("include_usage") or not body.get("stream"):
                    yield {**head, "choices": [], "usage": _usage(usage, "prompt", "completion")}


async def gather_response(documents: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The whole response that its events amount to."""
    last: dict[str, Any] = {}
    async for document in documents:
        last = document
    response: dict[str, Any] = last["response"]
    return response


async def gather_completion(chunks: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The whole completion that its chunks amount to."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    whole: dict[str, Any] = {}
    reason = None
    async for chunk in chunks:
        whole = {name: chunk[name] for name in ("id", "created", "model")}
        if "usage" in chunk:
            whole["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for piece in delta.get("tool_calls", ()):
                calls = message.setdefault("tool_calls", [])
                if "id" in piece:
                    calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
                else:
                    calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
            reason = choice["finish_reason"] or reason
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**whole, "object": "chat.completion", "choices": [choice]}


def frame(document: dict[str, Any]) -> bytes:
    """One event as these surfaces frame it: the data first, and only then the event's name."""
    name = f"event: {document['type']}\n" if "type" in document else ""
    return b"data: " + json.dumps(document) + b"\n" + name.encode() + b"\n"
