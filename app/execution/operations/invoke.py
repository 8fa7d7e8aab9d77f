"""Calls of InvokeModel and InvokeModelWithResponseStream, with bodies of the model's own format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Self, TypeVar

from msgspec.structs import replace

from app.adaptation.invoke import adapt_invoke
from app.bedrock.client import BedrockRequest
from app.bedrock.reported_usage import tier_of_headers, usage_of_headers, usage_of_invocation
from app.bedrock.stream_decoding import NativeDecoder
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, NativeCall, NativeEvent, Surface
from app.converse.guardrail_units import TRACE, Units, units_in
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
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

T = TypeVar("T")

# the members of most events, which hold neither tokens nor a guardrail's trace
_OF_DELTA = {"type", "index", "delta"}


class InvokeOperation(Operation[T], frozen=True, kw_only=True):
    """A complete document by InvokeModel.

    body: the request's. usage_of: reads the tokens from the response and its document.
    make: turns the document into the result.
    """

    mode: Mode = Mode.NATIVE
    surface: Surface = Surface.INVOKE
    body: bytes
    usage_of: Callable[[HttpResponse, JsonObject], Usage | None]
    make: Callable[[JsonObject], T]

    @classmethod
    def of(cls, call: NativeCall, target: Target, usage_of: UsageReader, make: Callable[[JsonObject], T]) -> Self:
        """Adapt a call in Anthropic's format for the model of a target. Raises InvalidRequest."""
        adapted = adapt_invoke(call, target.capabilities, target.betas)
        return cls(
            body=json.dumps(adapted.body),
            usage_of=usage_or_headers(usage_of),
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            max_tokens=adapted.body.get("max_tokens"),
        )

    def build(self, model: ModelId) -> BedrockRequest:
        return _request(model, "invoke", self.body)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        body = await read_body(response, attempt)
        make = partial(self._make, response, body, attempt)
        return make() if len(body) <= MAX_LOOP_BYTES else await off_loop(attempt.caller, len(body), make)

    def _make(self, response: HttpResponse, body: bytes, attempt: AttemptContext) -> T:
        document = parse_document(body)
        attempt.usage, attempt.tier = self.usage_of(response, document), tier_of_headers(response.headers)
        if attempt.usage is not None and TRACE in document:
            attempt.usage = replace(attempt.usage, guardrail_units=units_in(document[TRACE]))
        try:
            return self.make(document)
        except MALFORMED as error:
            raise malformed(error) from None


class InvokeStreamOperation(Operation[T], frozen=True, kw_only=True):
    """The events of InvokeModelWithResponseStream, a batch for each read.

    body: the request's. usage_of: reads the tokens from the document of an event.
    last_event: the type of the document that completes a message. make: turns the relay into the result.
    """

    is_streamed: ClassVar[bool] = True
    mode: Mode = Mode.NATIVE
    surface: Surface = Surface.INVOKE
    body: bytes
    usage_of: UsageReader
    last_event: str
    make: Callable[[Relay[list[NativeEvent]]], T]

    @classmethod
    def of(
        cls,
        call: NativeCall,
        target: Target,
        usage_of: UsageReader,
        last_event: str,
        make: Callable[[Relay[list[NativeEvent]]], T],
    ) -> Self:
        """Adapt a call in Anthropic's format for the model of a target. Raises InvalidRequest."""
        adapted = adapt_invoke(call, target.capabilities, target.betas)
        return cls(
            body=json.dumps(adapted.body),
            usage_of=usage_of,
            last_event=last_event,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            max_tokens=adapted.body.get("max_tokens"),
        )

    def build(self, model: ModelId) -> BedrockRequest:
        return _request(model, "invoke-with-response-stream", self.body)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        attempt.tier = tier_of_headers(response.headers)
        reader = NativeReader(self.last_event, self.usage_of, attempt)
        return self.make(await Relay(response, reader, attempt).begun())


def usage_or_headers(usage_of: UsageReader) -> Callable[[HttpResponse, JsonObject], Usage | None]:
    """Read the tokens from the document of a response, or else from its headers, which omit details of the cache."""
    return lambda response, document: usage_of(document) or usage_of_headers(response.headers)


def _request(model: ModelId, api: str, body: bytes) -> BedrockRequest:
    return BedrockRequest("bedrock-runtime", "POST", f"/model/{model.quoted}/{api}", headers=JSON, body=body)


class NativeReader:
    """Reads the events of an invocation, a batch for each read.

    Args:
        last: the `type` of the document that completes a message. usage_of: reads the tokens from a document.
    """

    is_over = False

    def __init__(self, last: str, usage_of: UsageReader, attempt: AttemptContext) -> None:
        self._decoder = NativeDecoder(last=last)
        self._usage_of = usage_of
        self._attempt = attempt
        self._units: Units = ()
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[NativeEvent]:
        events, attempt = self._decoder.feed(data), self._attempt
        for event in events:
            document = event.document
            if document.keys() == _OF_DELTA:
                continue
            attempt.usage = self._usage_of(document) or attempt.usage or usage_of_invocation(document)
            if TRACE in document:
                self._units = units_in(document[TRACE])
        if self._units and attempt.usage is not None:
            attempt.usage = replace(attempt.usage, guardrail_units=self._units)
        return events
