"""The complete message that a stream of Anthropic's events adds up to."""

from collections.abc import AsyncIterator

from app.wire import json
from app.wire.json import JsonObject


async def gather_message(events: AsyncIterator[JsonObject]) -> tuple[JsonObject, dict[str, int]]:
    """Collect a stream; returns the message and Bedrock's invocation metrics."""
    message: JsonObject = {}
    metrics: dict[str, int] = {}
    pieces: dict[str, list[str]] = {}
    async for event in events:
        match event:
            case {"type": "message_start", "message": empty}:
                message = empty
            case {"type": "content_block_start", "content_block": block}:
                message["content"].append(dict(block))
                pieces = {}
            case {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": citation}}:
                message["content"][-1].setdefault("citations", []).append(citation)
            case {"type": "content_block_delta", "delta": {"type": kind, **change}}:
                ((_, piece),) = change.items()
                pieces.setdefault(str(kind).removesuffix("_delta"), []).append(str(piece))
            case {"type": "content_block_stop"}:
                message["content"][-1] |= _joined(pieces)
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= {**delta, "usage": usage}
            case {"type": "message_stop", "amazon-bedrock-invocationMetrics": invocation_metrics}:
                metrics = invocation_metrics
    return message, metrics


def _joined(pieces: dict[str, list[str]]) -> JsonObject:
    joined: JsonObject = {name: "".join(parts) for name, parts in pieces.items()}
    if "input_json" in joined:
        joined["input"] = json.loads(joined.pop("input_json") or "{}")
    return joined
