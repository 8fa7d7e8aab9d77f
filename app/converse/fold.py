"""Folds events into a reply, and unfolds a reply into events."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, cast

from app.converse.content import ContentBlock
from app.converse.events import ContentBlockDelta, ContentBlockStart, Event
from app.converse.reply import Reply
from app.wire import json
from app.wire.json import JsonObject


def fold(events: Iterable[Event]) -> Reply:
    """Return the reply that a complete stream of events describes.

    The input of a tool call is parsed after its last delta. An input without deltas is `{}`.

    Raises:
        json.JsonError: the deltas of a tool's input are not JSON together.
    """
    role: Any = "assistant"
    blocks: dict[int, JsonObject] = {}
    reply: JsonObject = {}
    for event in events:
        if (start := event.get("messageStart")) is not None:
            role = start["role"]
        elif (block_start := event.get("contentBlockStart")) is not None:
            blocks[block_start["contentBlockIndex"]] = _open_block(block_start["start"])
        elif (block_delta := event.get("contentBlockDelta")) is not None:
            _extend(blocks.setdefault(block_delta["contentBlockIndex"], {}), block_delta["delta"])
        elif (stop := event.get("messageStop")) is not None:
            reply.update(stop)
        elif (metadata := event.get("metadata")) is not None:
            reply.update(metadata)
    content = [_close_block(block) for _, block in sorted(blocks.items())]
    return cast(Reply, {"output": {"message": {"role": role, "content": content}}, **reply})


def _open_block(start: ContentBlockStart) -> JsonObject:
    if "toolUse" in start:
        return {"toolUse": {**start["toolUse"], "input": []}}
    if "toolResult" in start:
        return {"toolResult": {**start["toolResult"], "content": []}}
    return copy.deepcopy(cast(JsonObject, start))


def _extend(block: JsonObject, delta: ContentBlockDelta) -> None:
    match delta:
        case {"text": text}:
            block.setdefault("text", []).append(text)
        case {"toolUse": {"input": piece}}:
            block["toolUse"]["input"].append(piece)
        case {"toolResult": pieces}:
            block["toolResult"]["content"].extend(pieces)
        case {"reasoningContent": {"redactedContent": blob}}:
            block["reasoningContent"] = {"redactedContent": blob}
        case {"reasoningContent": piece}:
            reasoning = block.setdefault("reasoningContent", {"reasoningText": {"text": []}})["reasoningText"]
            for member, value in piece.items():
                reasoning.setdefault(member, []).append(value)
        case {"citation": citation}:
            block.setdefault("citations", []).append(citation)
        case {"image": image}:
            block.setdefault("image", {}).update(image)


def _close_block(block: JsonObject) -> ContentBlock:
    if "text" in block:
        block["text"] = "".join(block["text"])
    reasoning = block.get("reasoningContent", {}).get("reasoningText", {})
    for member, pieces in reasoning.items():
        reasoning[member] = "".join(pieces)
    if "toolUse" in block:
        written = "".join(block["toolUse"]["input"])
        block["toolUse"]["input"] = json.loads(written) if written else {}
    if "citations" in block:
        generated = [{"text": block["text"]}] if "text" in block else []
        return cast(ContentBlock, {"citationsContent": {"content": generated, "citations": block["citations"]}})
    return cast(ContentBlock, block)


def unfold(reply: Reply) -> Iterator[Event]:
    """Return events that describe a reply, one delta for each member: `fold(unfold(reply))` equals `reply`."""
    message = reply["output"]["message"]
    yield {"messageStart": {"role": message["role"]}}
    for index, block in enumerate(message["content"]):
        start, deltas = _start_and_deltas(cast(JsonObject, block))
        if start is not None:
            yield {"contentBlockStart": {"start": cast(ContentBlockStart, start), "contentBlockIndex": index}}
        for delta in deltas:
            yield {"contentBlockDelta": {"delta": cast(ContentBlockDelta, delta), "contentBlockIndex": index}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    stop = {key: reply[key] for key in ("stopReason", "additionalModelResponseFields") if key in reply}
    yield cast(Event, {"messageStop": stop})
    metadata = {key: value for key, value in reply.items() if key not in {"output", *stop}}
    yield cast(Event, {"metadata": metadata})


def _start_and_deltas(block: JsonObject) -> tuple[JsonObject | None, list[JsonObject]]:
    match block:
        case {"toolUse": tool}:
            return {"toolUse": _without(tool, "input")}, [{"toolUse": {"input": json.dumps_text(tool["input"])}}]
        case {"toolResult": result}:
            deltas: list[JsonObject] = [{"toolResult": [piece]} for piece in result["content"]]
            return {"toolResult": _without(result, "content")}, deltas
        case {"reasoningContent": {"reasoningText": text}}:
            return None, [{"reasoningContent": {member: value}} for member, value in text.items()]
        case {"reasoningContent": redacted}:
            return None, [{"reasoningContent": redacted}]
        case {"citationsContent": cited}:
            citations = [{"citation": citation} for citation in cited.get("citations", [])]
            return None, citations + [{"text": piece["text"]} for piece in cited.get("content", [])]
        case {"image": image}:
            return {"image": {"format": image["format"]}}, [{"image": _without(image, "format")}]
        case _:
            return None, [block]


def _without(members: JsonObject, name: str) -> JsonObject:
    return {key: value for key, value in members.items() if key != name}
