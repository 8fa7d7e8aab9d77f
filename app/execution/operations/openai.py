"""Calls in OpenAI's own format, where Bedrock serves it for the model: at the runtime, or on mantle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar

from app.adaptation.openai import adapt_chat, adapt_responses
from app.bedrock.client import BedrockRequest
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, NativeCall
from app.execution.operations.operation import JSON, MALFORMED, Operation, malformed, read_document
from app.execution.relay import Relay
from app.execution.stream_readers import DocumentReader, UsageReader, read_tier, read_usage, refuse_failed
from app.models.capability_groups import NativeCapabilities
from app.models.ids import ModelId
from app.observability.observer import AttemptRecord
from app.routing.planner import Target
from app.wire import json

T = TypeVar("T")
Parsed = TypeVar("Parsed")

OpenAIFormat = Literal["openai_responses", "openai_chat"]
_PATHS: dict[OpenAIFormat, str] = {"openai_responses": "/responses", "openai_chat": "/chat/completions"}
_ADAPTERS = {"openai_responses": adapt_responses, "openai_chat": adapt_chat}


class _AdaptedBody(Operation[T], Generic[Parsed, T], frozen=True, kw_only=True):
    """A body that was adapted for one surface of a model.

    body: the request's, without the model. path: of the API. known: the model behind the name that is called.
    usage_of: reads the tokens from a document. make: turns the parsed response into the result.
    last_events: the types of the documents that complete a streamed answer.
    """

    mode: Mode = Mode.NATIVE
    body: dict[str, Any]
    path: str
    known: ModelId
    native: NativeCapabilities
    usage_of: UsageReader
    make: Callable[[Parsed], T]
    last_events: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        body_format: OpenAIFormat,
        call: NativeCall,
        target: Target,
        usage_of: UsageReader,
        make: Callable[[Parsed], T],
        last_events: frozenset[str] = frozenset(),
    ) -> Self:
        """Adapt a call for the surface of a target that takes its format."""
        surface = target.capabilities.native.surface(body_format)
        if not surface:
            raise ValueError(f"no surface of {target.model.raw} takes {body_format}")
        adapted = _ADAPTERS[body_format](call, surface, target.capabilities)
        tier = str(adapted.body.get("service_tier") or "")
        return cls(
            surface=surface,
            body=adapted.body,
            path=_PATHS[body_format],
            known=target.known,
            native=target.capabilities.native,
            usage_of=usage_of,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            tier="" if tier == "auto" else tier,
            last_events=last_events,
        )

    def build(self, model: ModelId) -> BedrockRequest:
        if self.surface == "mantle":
            # a model has no geography on mantle, and neither surface accepts an ARN
            body = json.dumps({**self.body, "model": self.known.base.removesuffix(self.native.mantle_dropped_suffix)})
            path = self.native.mantle_path + self.path
            return BedrockRequest("bedrock-mantle", "POST", path, headers=JSON, body=body)
        names = {"inference-profile": f"{model.geography}.{model.base}", "foundation-model": model.base}
        body = json.dumps({**self.body, "model": names.get(model.arn_kind, model.raw)})
        return BedrockRequest("bedrock-runtime", "POST", "/openai/v1" + self.path, headers=JSON, body=body)


class OpenAIOperation(_AdaptedBody[dict[str, Any], T], frozen=True, kw_only=True):
    """A complete document by Chat Completions or Responses."""

    async def parse(self, response: HttpResponse, attempt: AttemptRecord) -> T:
        document = await read_document(response)
        attempt.usage, attempt.tier = read_usage(self.usage_of, document), read_tier(document)
        refuse_failed(document)
        try:
            return self.make(document)
        except MALFORMED as error:
            raise malformed(error) from None


class OpenAIStreamOperation(_AdaptedBody[Relay[list[dict[str, Any]]], T], frozen=True, kw_only=True):
    """The documents of a stream by Chat Completions or Responses, a batch for each read."""

    async def parse(self, response: HttpResponse, attempt: AttemptRecord) -> T:
        reader = DocumentReader(self.last_events, self.usage_of, attempt)
        return self.make(await Relay(response, reader, attempt.end_stream).begun())
