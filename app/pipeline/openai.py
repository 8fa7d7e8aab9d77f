"""Calls in OpenAI's own words, where Bedrock serves them for the model: at the runtime, or on mantle."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any, Literal

from app.bedrock.client import BedrockRequest
from app.bedrock.endpoints import Service
from app.converse.call import NativeCall
from app.models.ids import ModelId, parse_model_id
from app.pipeline import ways
from app.pipeline.exchange import Exchange
from app.pipeline.ways import UsageReader, Way
from app.routing.plan import Target
from app.tailor.draft import NativeDraft
from app.tailor.openai import tailor_chat, tailor_responses

Api = Literal["openai_responses", "openai_chat"]
_PATHS: dict[Api, str] = {"openai_responses": "/responses", "openai_chat": "/chat/completions"}
_TAILORS = {"openai_responses": tailor_responses, "openai_chat": tailor_chat}


def ask(exchange: Exchange, api: Api, call: NativeCall, target: Target, usage_of: UsageReader) -> Way[dict[str, Any]]:
    """The way to ask a target for a whole document.

    Args:
        usage_of: reads the tokens that a document of this API tells of.
    """
    service, path, draft = _prepared(api, call, target)
    return _at(ways.openai(service, path, draft.body, usage_of, exchange.record), target, draft)


def ask_for_stream(
    exchange: Exchange, api: Api, call: NativeCall, target: Target, usage_of: UsageReader, last: frozenset[str]
) -> Way[AsyncGenerator[list[dict[str, Any]], None]]:
    """The way to ask a target for a stream of documents; `last` are the types of those that complete an answer."""
    service, path, draft = _prepared(api, call, target)
    return _at(ways.openai_stream(service, path, draft.body, usage_of, last, exchange.record), target, draft)


def _prepared(api: Api, call: NativeCall, target: Target) -> tuple[Service, str, NativeDraft]:
    surface = target.traits.native[api]
    draft = _TAILORS[api](call, surface, target.traits)
    if surface == "mantle":
        return "bedrock-mantle", target.traits.mantle_path + _PATHS[api], draft
    return "bedrock-runtime", "/openai/v1" + _PATHS[api], draft


def _at(way: Way[ways.T], target: Target, draft: NativeDraft) -> Way[ways.T]:
    """The way with what was noted of the draft. On mantle models have names without geography, and without ARNs."""
    on_mantle = parse_model_id(target.known.base.removesuffix(target.traits.mantle_drops))
    ask_it: Callable[[ModelId], BedrockRequest] = way.ask if way.surface == "runtime" else lambda _: way.ask(on_mantle)
    surface = "openai" if way.surface == "runtime" else way.surface
    return replace(way, ask=ask_it, surface=surface, ignored=draft.ignored, repaired=draft.repaired)
