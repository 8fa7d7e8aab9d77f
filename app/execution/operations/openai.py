"""Calls in OpenAI's own words, where Bedrock serves them for the model: at the runtime, or on mantle."""

from __future__ import annotations

from typing import Any, Literal

from msgspec.structs import replace

from app.adaptation.adapted_request import AdaptedBody
from app.adaptation.openai import adapt_chat, adapt_responses
from app.bedrock.client import BedrockRequest
from app.converse.call import NativeCall
from app.execution.operations import operation as operations
from app.execution.operations.operation import JSON, Operation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.execution.stream_readers import UsageReader
from app.models.capabilities import Surface
from app.models.ids import ModelId
from app.routing.planner import Target
from app.wire import json

Api = Literal["openai_responses", "openai_chat"]
_PATHS: dict[Api, str] = {"openai_responses": "/responses", "openai_chat": "/chat/completions"}
_ADAPTERS = {"openai_responses": adapt_responses, "openai_chat": adapt_chat}


def ask(
    context: RequestContext, api: Api, call: NativeCall, target: Target, usage_of: UsageReader
) -> Operation[dict[str, Any]]:
    """The way to ask a target for a whole document.

    Args:
        usage_of: reads the tokens that a document of this API tells of.
    """
    surface, adapted, request, tier = _prepared(api, call, target)
    operation = operations.openai(surface, request, usage_of, context.record, tier)
    return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)


def ask_for_stream(
    context: RequestContext, api: Api, call: NativeCall, target: Target, usage_of: UsageReader, last: frozenset[str]
) -> Operation[Relay[list[dict[str, Any]]]]:
    """The way to ask a target for a stream of documents; `last` are the types of those that complete an answer."""
    surface, adapted, request, tier = _prepared(api, call, target)
    operation = operations.openai_stream(surface, request, usage_of, last, context.record, tier)
    return replace(operation, ignored=adapted.ignored, adjusted=adapted.adjusted)


def _prepared(api: Api, call: NativeCall, target: Target) -> tuple[Surface, AdaptedBody, operations.Ask, str]:
    surface, capabilities = getattr(target.capabilities.native, api), target.capabilities
    adapted = _ADAPTERS[api](call, surface, capabilities)
    # a model has no geography on mantle; and neither surface knows it by an ARN
    on_mantle = target.known.base.removesuffix(capabilities.native.mantle_dropped_suffix)

    def request(model: ModelId) -> BedrockRequest:
        if surface == "mantle":
            body = json.dumps({**adapted.body, "model": on_mantle})
            return BedrockRequest(
                "bedrock-mantle", "POST", capabilities.native.mantle_path + _PATHS[api], headers=JSON, body=body
            )
        names = {"inference-profile": f"{model.geography}.{model.base}", "foundation-model": model.base}
        body = json.dumps({**adapted.body, "model": names.get(model.arn_kind, model.raw)})
        return BedrockRequest("bedrock-runtime", "POST", "/openai/v1" + _PATHS[api], headers=JSON, body=body)

    tier = str(adapted.body.get("service_tier") or "")
    return surface, adapted, request, "" if tier == "auto" else tier
