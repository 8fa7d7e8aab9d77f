"""Plays a model: limits and stop sequences cut its script, and the rest is spelled as events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.converse.events import Event
from app.emulator import tokens
from app.emulator.script import Script
from app.wire import json

_PIECE = 12
_EVENTS_A_TURN = 64


async def play(script: Script, request: dict[str, Any], latency_ms: int = 1) -> AsyncIterator[Event]:
    """The events of a script, in AWS's order, with the pauses that it asks for."""
    inference = request.get("inferenceConfig") or {}
    blocks, stop_reason, output_tokens, stopped_by = _limited(script, inference)
    wanted = request.get("additionalModelResponseFieldPaths") or []
    extra: dict[str, Any] = {"stop_sequence": stopped_by} if "/stop_sequence" in wanted else {}
    if "/usage/output_tokens_details" in wanted:
        extra["usage"] = {"output_tokens_details": {"thinking_tokens": _thinking_tokens(blocks)}}
    for number, event in enumerate(_spelled(blocks, stop_reason, extra)):
        if script.pause or number % _EVENTS_A_TURN == 0:
            await asyncio.sleep(script.pause)
        yield event
    metadata = _metadata(script, tokens.count_request(request), output_tokens, latency_ms)
    for member in ("serviceTier", "performanceConfig"):
        if request.get(member):
            metadata[member] = request[member]
    yield {"metadata": metadata}


def _thinking_tokens(blocks: list[dict[str, Any]]) -> int:
    thoughts = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
    return sum(tokens.count_text(json.dumps_text(thought)) for thought in thoughts)


def _limited(script: Script, inference: dict[str, Any]) -> tuple[list[dict[str, Any]], str, int, str | None]:
    """The script within maxTokens and up to the first stop sequence, why it stops, its tokens, and that sequence."""
    stops = inference.get("stopSequences") or []
    left = inference.get("maxTokens") or 1_000_000
    spent = 0
    kept: list[dict[str, Any]] = []
    for block in script.blocks:
        if "text" not in block:
            spent += tokens.count_text(json.dumps_text(block))
            kept.append(block)
            continue
        text, stopped_by = _stopped(block["text"], stops)
        size = tokens.count_text(text)
        if spent + size > left:
            return [*kept, *_text(tokens.cut(text, left - spent))], "max_tokens", left, None
        spent += size
        kept += _text(text)
        if stopped_by is not None:
            return kept, "stop_sequence", spent, stopped_by
    return kept, script.stop_reason, spent, None


def _stopped(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The text up to the first of the stop sequences in it, and that one."""
    places = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return text, None
    place, stop = min(places)
    return text[:place], stop


def _text(text: str) -> list[dict[str, Any]]:
    return [{"text": text}] if text else []


def _metadata(script: Script, input_tokens: int, output_tokens: int, latency_ms: int) -> Any:
    usage: dict[str, Any] = {
        "inputTokens": input_tokens,
        "outputTokens": output_tokens,
        "totalTokens": input_tokens + output_tokens + script.cache_read + script.cache_write,
    }
    if script.cache_read or script.cache_write:
        usage["cacheReadInputTokens"] = script.cache_read
        usage["cacheWriteInputTokens"] = script.cache_write
    metadata: Any = {"usage": usage, "metrics": {"latencyMs": latency_ms}}
    if script.trace is not None:
        metadata["trace"] = script.trace
    return metadata


def _spelled(blocks: list[dict[str, Any]], stop_reason: str, extra: dict[str, Any]) -> Iterator[Any]:
    yield {"messageStart": {"role": "assistant"}}
    for index, block in enumerate(blocks):
        yield from _spelled_block(block, index)
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    more = {"additionalModelResponseFields": extra} if extra else {}
    yield {"messageStop": {"stopReason": stop_reason, **more}}


def _spelled_block(block: dict[str, Any], index: int) -> Iterator[Any]:
    """One block. A call's first piece is empty, as Claude's is in every recording."""

    def delta(value: dict[str, Any]) -> dict[str, Any]:
        return {"contentBlockDelta": {"contentBlockIndex": index, "delta": value}}

    match block:
        case {"text": text}:
            for piece in _pieces(text):
                yield delta({"text": piece})
        case {"toolUse": {"input": arguments, **start}}:
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": start}}}
            for piece in ("", *_pieces(json.dumps_text(arguments))):
                yield delta({"toolUse": {"input": piece}})
        case {"toolResult": {"content": parts, **start}}:
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolResult": start}}}
            for part in parts:
                yield delta({"toolResult": [part]})
        case {"reasoningContent": {"reasoningText": thought}}:
            for piece in _pieces(thought["text"]):
                yield delta({"reasoningContent": {"text": piece}})
            if "signature" in thought:
                yield delta({"reasoningContent": {"signature": thought["signature"]}})
        case {"reasoningContent": redacted}:
            yield delta({"reasoningContent": redacted})
        case {"citationsContent": {"content": content, "citations": citations}}:
            for citation in citations:
                yield delta({"citation": citation})
            for part in content:
                for piece in _pieces(part["text"]):
                    yield delta({"text": piece})


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]
