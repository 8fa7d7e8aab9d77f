"""Calls in OpenAI's own format, where Bedrock serves it for the model: at the runtime, or on mantle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from msgspec import Struct

from app.adaptation.openai import adapt_chat, adapt_responses
from app.bedrock.client import BedrockRequest
from app.bedrock.errors import error_of_openai
from app.bedrock.stream_decoding import ServerSentDecoder
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, NativeCall, Surface
from app.converse.usage import Usage
from app.execution.operations.operation import (
    JSON,
    MALFORMED,
    Operation,
    UsageReader,
    malformed,
    parse_document,
    read_body,
)
from app.execution.relay import Relay
from app.models.capability_groups import NativeCapabilities, NativeSurface
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

T = TypeVar("T")
Parsed = TypeVar("Parsed")

OpenAIFormat = Literal["openai_responses", "openai_chat"]
OPENAI_APIS: dict[str, OpenAIFormat] = {"openai_responses": "openai_responses", "openai_chat": "openai_chat"}
_PATHS: dict[OpenAIFormat, str] = {"openai_responses": "/responses", "openai_chat": "/chat/completions"}
_LENGTHS: dict[OpenAIFormat, str] = {"openai_responses": "max_output_tokens", "openai_chat": "max_completion_tokens"}
_ADAPT_BODY = {"openai_responses": adapt_responses, "openai_chat": adapt_chat}


class OpenAISurface(Struct, frozen=True):
    """Where a body is sent.

    body: the request's, without the model. path: of the API. model_behind: the model behind the name that is called.
    """

    surface: NativeSurface
    body: JsonObject
    path: str
    model_behind: ModelId
    native: NativeCapabilities

    @classmethod
    def of(cls, body_format: OpenAIFormat, target: Target, body: JsonObject) -> Self:
        """Return the surface of a target that takes a format. Raises ValueError if there is none."""
        surface = target.capabilities.native.surface(body_format)
        if not surface:
            raise ValueError(f"no surface of {target.model.raw} takes {body_format}")
        return cls(surface, body, _PATHS[body_format], target.model_behind, target.capabilities.native)

    def request(self, model: ModelId) -> BedrockRequest:
        """Build the request for a model, by its own id or by that of an inference profile."""
        if self.surface is Surface.MANTLE:
            # neither surface accepts an ARN
            name = self.model_behind.base.removesuffix(self.native.mantle_dropped_suffix)
            body = json.dumps({**self.body, "model": name})
            path = self.native.mantle_path + self.path
            return BedrockRequest("bedrock-mantle", "POST", path, headers=JSON, body=body)
        names = {"inference-profile": f"{model.geography}.{model.base}", "foundation-model": model.base}
        body = json.dumps({**self.body, "model": names.get(model.arn_kind, model.raw)})
        return BedrockRequest("bedrock-runtime", "POST", "/openai/v1" + self.path, headers=JSON, body=body)


class _AdaptedBody(Operation[T], Generic[Parsed, T], frozen=True, kw_only=True):
    """A body that was adapted for one surface of a model.

    upstream: where it is sent. usage_of: reads the tokens from a document.
    make: turns the parsed response into the result.
    last_events: the types of the documents that complete a streamed answer.
    """

    encodes_in_build: ClassVar[bool] = True
    mode: Mode = Mode.NATIVE
    upstream: OpenAISurface
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
        adapted = _ADAPT_BODY[body_format](call, surface, target.capabilities)
        tier = str(adapted.body.get("service_tier") or "")
        return cls(
            surface=surface,
            upstream=OpenAISurface.of(body_format, target, adapted.body),
            usage_of=usage_of,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            tier="" if tier == "auto" else tier,
            last_events=last_events,
            max_tokens=adapted.body.get(_LENGTHS[body_format]) or adapted.body.get("max_tokens"),
        )

    def build(self, model: ModelId) -> BedrockRequest:
        return self.upstream.request(model)


class OpenAIOperation(_AdaptedBody[JsonObject, T], frozen=True, kw_only=True):
    """A complete document by Chat Completions or Responses."""

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        body = await read_body(response, attempt)
        make = partial(self._make, body, attempt)
        return make() if len(body) <= MAX_LOOP_BYTES else await off_loop(attempt.caller, len(body), make)

    def _make(self, body: bytes, attempt: AttemptContext) -> T:
        document = parse_document(body)
        attempt.usage, attempt.tier = read_usage(self.usage_of, document), read_tier(document)
        refuse_failed(document)
        try:
            return self.make(document)
        except MALFORMED as error:
            raise malformed(error) from None


class OpenAIStreamOperation(_AdaptedBody[Relay[list[JsonObject]], T], frozen=True, kw_only=True):
    """The documents of a stream by Chat Completions or Responses, a batch for each read."""

    is_streamed: ClassVar[bool] = True

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        reader = DocumentReader(self.last_events, self.usage_of, attempt)
        return self.make(await Relay(response, reader, attempt).begun())


class DocumentReader:
    """Reads the documents of a surface that speaks OpenAI, a batch for each read.

    Args:
        last: the `type` of the documents that complete an answer. usage_of: reads the tokens from a document.
    """

    def __init__(self, last: frozenset[str], usage_of: UsageReader, attempt: AttemptContext) -> None:
        self._decoder = ServerSentDecoder(last)
        self._usage_of = usage_of
        self._attempt = attempt
        self._has_begun = False
        self.finish = self._decoder.finish

    @property
    def is_over(self) -> bool:
        return self._decoder.is_complete

    def feed(self, data: bytes) -> list[JsonObject]:
        documents, attempt = self._decoder.feed(data), self._attempt
        for document in documents:
            attempt.usage = read_usage(self._usage_of, document) or attempt.usage
            attempt.tier = read_tier(document) or attempt.tier
        if documents and not self._has_begun:
            # only before the first document may failover try another target
            self._has_begun = True
            refuse_failed(documents[0].get("response"))
        return documents


def refuse_failed(response: Any) -> None:
    """Raise the error of a failed response, whose status is 200 all the same.

    Source: docs/reference/contracts/openai-responses.md#event-order
    """
    if isinstance(response, dict) and response.get("status") == "failed" and isinstance(response.get("error"), dict):
        raise error_of_openai(response["error"])


def read_tier(document: JsonObject) -> str:
    """Return the service tier in a completion, a response, or an event with one; empty where it is not decided yet."""
    match document:
        case {"response": {"service_tier": str(tier)}} | {"service_tier": str(tier)}:
            return "" if tier == "auto" else tier
        case _:
            return ""


def read_usage(usage_of: UsageReader, document: JsonObject) -> Usage | None:
    """Return the tokens of a document; None if they are malformed, since the answer is good all the same."""
    try:
        return usage_of(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
