"""A script, played as a stream of Converse events."""

import asyncio
from collections.abc import AsyncIterator

from app.converse.content import ContentBlock
from app.converse.events import Event, MetadataEvent
from app.converse.reply import TokenUsage
from app.converse.request import ConverseRequest
from app.emulator import tokens
from app.emulator.guardrails import trace_of
from app.emulator.request_parts import last_user_text
from app.emulator.scripted_models.limits import LimitedOutput, apply_limits
from app.emulator.scripted_models.script import Script
from app.emulator.scripted_models.script_events import script_events
from app.wire import json
from app.wire.json import JsonObject

_EVENTS_PER_TURN = 64  # of the event loop


async def play(script: Script, request: ConverseRequest) -> AsyncIterator[Event]:
    """Yield the events of a script in AWS's order, with the pauses that it has."""
    output = apply_limits(script, request.get("inferenceConfig") or {})
    extra = _response_fields(request, output)
    for number, event in enumerate(script_events(output.blocks, output.stop_reason, extra)):
        if script.delay_seconds or number % _EVENTS_PER_TURN == 0:
            await asyncio.sleep(script.delay_seconds)
        yield event
    yield {"metadata": _metadata(script, request, output)}


def _response_fields(request: ConverseRequest, output: LimitedOutput) -> JsonObject:
    """The fields that `additionalModelResponseFieldPaths` selects."""
    paths = request.get("additionalModelResponseFieldPaths") or []
    fields: JsonObject = {"stop_sequence": output.stop_sequence} if "/stop_sequence" in paths else {}
    if "/usage/output_tokens_details" in paths:
        fields["usage"] = {"output_tokens_details": {"thinking_tokens": _reasoning_tokens(output.blocks)}}
    return fields


def _reasoning_tokens(blocks: list[ContentBlock]) -> int:
    reasoning = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
    return sum(tokens.count_text(json.dumps_text(each)) for each in reasoning)


def _metadata(script: Script, request: ConverseRequest, output: LimitedOutput) -> MetadataEvent:
    input_tokens, output_tokens = tokens.count_request(request), output.tokens
    usage: TokenUsage = {
        "inputTokens": input_tokens,
        "outputTokens": output_tokens,
        "totalTokens": input_tokens + output_tokens + script.cache_read + script.cache_write,
    }
    if script.cache_read or script.cache_write:
        usage["cacheReadInputTokens"] = script.cache_read
        usage["cacheWriteInputTokens"] = script.cache_write
    metadata: MetadataEvent = {"usage": usage, "metrics": {"latencyMs": 1}}
    if script.trace is not None:
        metadata["trace"] = script.trace
    config = request.get("guardrailConfig") or {}
    if config.get("trace", "disabled") != "disabled":
        texts = [last_user_text(request)]
        if output.stop_reason != "guardrail_intervened":
            texts.append("".join(block["text"] for block in output.blocks if "text" in block))
        metadata["trace"] = {"guardrail": {**metadata.get("trace", {}).get("guardrail", {}), **trace_of(config, texts)}}
    if service_tier := request.get("serviceTier"):
        metadata["serviceTier"] = service_tier
    if performance := request.get("performanceConfig"):
        metadata["performanceConfig"] = performance
    return metadata
