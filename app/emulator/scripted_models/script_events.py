"""Content blocks, cut into the events of a stream."""

from collections.abc import Iterator

from app.converse.content import CitationsContentBlock, ContentBlock, ReasoningContentBlock
from app.converse.events import (
    ContentBlockDelta,
    ContentBlockStart,
    Event,
    MessageStopEvent,
    ToolResultBlockStart,
    ToolUseBlockStart,
)
from app.wire import json
from app.wire.json import JsonObject

_PIECE_CHARACTERS = 12


def script_events(blocks: list[ContentBlock], stop_reason: str, extra: JsonObject) -> Iterator[Event]:
    """Yield the events of an answer, up to `messageStop`; `extra` are its additional response fields."""
    yield {"messageStart": {"role": "assistant"}}
    for index, block in enumerate(blocks):
        if start := _start(block):
            yield {"contentBlockStart": {"contentBlockIndex": index, "start": start}}
        for delta in _deltas(block):
            yield {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    stop: MessageStopEvent = {"stopReason": stop_reason}
    if extra:
        stop["additionalModelResponseFields"] = extra
    yield {"messageStop": stop}


def _start(block: ContentBlock) -> ContentBlockStart | None:
    if use := block.get("toolUse"):
        use_start: ToolUseBlockStart = {"toolUseId": use["toolUseId"], "name": use["name"]}
        if "type" in use:
            use_start["type"] = use["type"]
        return {"toolUse": use_start}
    if result := block.get("toolResult"):
        result_start: ToolResultBlockStart = {
            "toolUseId": result["toolUseId"],
            "type": result["type"],
            "status": result["status"],
        }
        return {"toolResult": result_start}
    return None


def _deltas(block: ContentBlock) -> Iterator[ContentBlockDelta]:
    match block:
        case {"text": text}:
            yield from _text_deltas(text)
        case {"toolUse": use}:
            # the first piece of a call's input is empty in every recording of Claude
            for piece in ("", *_pieces(json.dumps_text(use["input"]))):
                yield {"toolUse": {"input": piece}}
        case {"toolResult": result}:
            for part in result["content"]:
                yield {"toolResult": [{"json": part["json"]}]}
        case {"reasoningContent": reasoning}:
            yield from _reasoning_deltas(reasoning)
        case {"citationsContent": cited}:
            yield from _citation_deltas(cited)


def _text_deltas(text: str) -> Iterator[ContentBlockDelta]:
    for piece in _pieces(text):
        yield {"text": piece}


def _reasoning_deltas(reasoning: ReasoningContentBlock) -> Iterator[ContentBlockDelta]:
    if "reasoningText" not in reasoning:
        yield {"reasoningContent": {"redactedContent": reasoning["redactedContent"]}}
        return
    signed = reasoning["reasoningText"]
    for piece in _pieces(signed["text"]):
        yield {"reasoningContent": {"text": piece}}
    if "signature" in signed:
        yield {"reasoningContent": {"signature": signed["signature"]}}


def _citation_deltas(cited: CitationsContentBlock) -> Iterator[ContentBlockDelta]:
    for citation in cited["citations"]:
        yield {"citation": citation}
    for part in cited["content"]:
        yield from _text_deltas(part["text"])


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]
