"""Plays a model: limits and stop sequences cut its script, and the rest is spelled as events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.converse.events import Event
from app.emulator import tokens
from app.emulator.script import Script
from app.kit import json

_PIECE = 12


async def play(script: Script, request: dict[str, Any], latency_ms: int = 1) -> AsyncIterator[Event]:
    """The events of a script, in AWS's order, with the pauses that it asks for."""
    inference = request.get("inferenceConfig") or {}
    blocks, stop_reason, output_tokens = _limited(script, inference)
    for event in _spelled(blocks, stop_reason):
        if script.pause:
            await asyncio.sleep(script.pause)
        yield event
    yield _metadata(script, tokens.count_request(request), output_tokens, latency_ms)


def _limited(script: Script, inference: dict[str, Any]) -> tuple[list[dict[str, Any]], str, int]:
    """The script within maxTokens and up to the first stop sequence, why it stops, and the tokens it took."""
    stops = inference.get("stopSequences") or []
    left = inference.get("maxTokens") or 1_000_000
    spent = 0
    kept: list[dict[str, Any]] = []
    for block in script.blocks:
        if "text" not in block:
            spent += tokens.count_text(json.dumps_text(block))
            kept.append(block)
            continue
        text = block["text"]
        found = [place for stop in stops if (place := text.find(stop)) >= 0]
        is_stopped = bool(found)
        text = text[: min(found)] if found else text
        size = tokens.count_text(text)
        if spent + size > left:
            return [*kept, {"text": tokens.cut(text, left - spent)}], "max_tokens", left
        spent += size
        kept.append({"text": text})
        if is_stopped:
            return kept, "stop_sequence", spent
    return kept, script.stop_reason, spent


def _metadata(script: Script, input_tokens: int, output_tokens: int, latency_ms: int) -> Event:
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
    return {"metadata": metadata}


def _spelled(blocks: list[dict[str, Any]], stop_reason: str) -> Iterator[Any]:
    yield {"messageStart": {"role": "assistant"}}
    for index, block in enumerate(blocks):
        yield from _spelled_block(block, index)
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    yield {"messageStop": {"stopReason": stop_reason}}


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
