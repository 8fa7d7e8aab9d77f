"""Calls of Anthropic's Messages on mantle: for Claude that InvokeModel does not serve, and for counts of tokens.

The body is the one of InvokeModel, with the model and the version where Anthropic's own API has them.
Source: AWS user guide, inference with the Messages API (2026-11).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ClassVar, Generic, Self, TypeVar

from msgspec import Struct

from app.adaptation.invoke import adapt_invoke
from app.bedrock.client import BedrockRequest
from app.bedrock.stream_decoding import ServerSentDecoder
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, NativeCall, NativeEvent, Surface
from app.errors import UpstreamFailed
from app.execution.operations.operation import JSON, MALFORMED, Operation, UsageReader, malformed, read_document
from app.execution.relay import Relay
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject

T = TypeVar("T")
Parsed = TypeVar("Parsed")

_PATH = "/anthropic/v1/messages"
_VERSION = "2023-06-01"
_OF_INVOKE = "bedrock-2023-05-31"


def _request(path: str, body: JsonObject, model: ModelId, **members: bool) -> BedrockRequest:
    """Build a request from a body of InvokeModel. model: as it is known; mantle has no inference profiles."""
    sent = body.copy()
    version, betas = sent.pop("anthropic_version"), sent.pop("anthropic_beta", None) or ()
    headers = [*JSON, ("anthropic-version", _VERSION if version == _OF_INVOKE else version)]
    if betas:
        headers.append(("anthropic-beta", ",".join(betas)))
    document = json.dumps({"model": model.base, **sent, **members})
    return BedrockRequest("bedrock-mantle", "POST", path, headers=tuple(headers), body=document)


class MessagesSurface(Struct, frozen=True):
    """Where a translated body is sent. body: the request's, without the model. model_behind: the model."""

    body: JsonObject
    model_behind: ModelId
    surface: Surface = Surface.MANTLE

    def request(self, _: ModelId) -> BedrockRequest:
        """Build the request."""
        return _request(_PATH, {"anthropic_version": _OF_INVOKE, **self.body}, self.model_behind)


class _AdaptedMessages(Operation[T], Generic[Parsed, T], frozen=True, kw_only=True):
    """A body that was adapted for one model.

    body: as InvokeModel takes it. model_behind: the model. usage_of: reads the tokens from a document.
    make: turns the parsed response into the result.
    """

    encodes_in_build: ClassVar[bool] = True
    mode: Mode = Mode.NATIVE
    surface: Surface = Surface.MANTLE
    body: JsonObject
    model_behind: ModelId
    usage_of: UsageReader
    make: Callable[[Parsed], T]

    @classmethod
    def of(cls, call: NativeCall, target: Target, usage_of: UsageReader, make: Callable[[Parsed], T]) -> Self:
        """Adapt a call for the model of a target. Raises InvalidRequest."""
        adapted = adapt_invoke(call, target.capabilities, target.betas)
        return cls(
            body=adapted.body,
            model_behind=target.model_behind,
            usage_of=usage_of,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            max_tokens=adapted.body.get("max_tokens"),
        )


class MantleMessagesOperation(_AdaptedMessages[JsonObject, T], frozen=True, kw_only=True):
    """A complete message."""

    def build(self, model: ModelId) -> BedrockRequest:
        del model
        return _request(_PATH, self.body, self.model_behind)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        document = await read_document(response, attempt)
        attempt.usage = self.usage_of(document)
        try:
            return self.make(document)
        except MALFORMED as error:
            raise malformed(error) from None


class MantleMessagesStreamOperation(_AdaptedMessages[Relay[list[NativeEvent]], T], frozen=True, kw_only=True):
    """The events of a message, a batch for each read. last_event: the type of the one that completes it."""

    is_streamed: ClassVar[bool] = True
    last_event: str = "message_stop"

    def build(self, model: ModelId) -> BedrockRequest:
        del model
        return _request(_PATH, self.body, self.model_behind, stream=True)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        reader = MessageReader(self.last_event, self.usage_of, attempt)
        return self.make(await Relay(response, reader, attempt).begun())


class MessageReader:
    """Reads the events of a message, a batch for each read.

    Args:
        last: the `type` of the event that completes a message. usage_of: reads the tokens from a document.
    """

    def __init__(self, last: str, usage_of: UsageReader, attempt: AttemptContext) -> None:
        self._decoder = ServerSentDecoder(frozenset({last}))
        self._usage_of = usage_of
        self._attempt = attempt
        self.finish = self._decoder.finish

    @property
    def is_over(self) -> bool:
        return self._decoder.is_complete

    def feed(self, data: bytes) -> list[NativeEvent]:
        documents, attempt = self._decoder.feed(data), self._attempt
        for document in documents:
            attempt.usage = self._usage_of(document) or attempt.usage
        return [NativeEvent(document, json.dumps(document)) for document in documents]


class MantleCountOperation(Operation[int], frozen=True, kw_only=True):
    """The number of input tokens of a message. request: for the base id of the model."""

    mode: Mode = Mode.NATIVE
    surface: Surface = Surface.MANTLE
    request: BedrockRequest

    @classmethod
    def of(cls, call: NativeCall, target: Target) -> Self:
        """Count a body, which need not leave room for an answer. Raises InvalidRequest."""
        adapted = adapt_invoke(call, target.capabilities.with_values({"max_output": sys.maxsize}), target.betas)
        body = {name: value for name, value in adapted.body.items() if name != "max_tokens"}
        request = _request(f"{_PATH}/count_tokens", body, target.model_behind)
        return cls(request=request, ignored=[*call.ignored, *adapted.ignored], adjusted=adapted.adjusted)

    def build(self, model: ModelId) -> BedrockRequest:
        del model
        return self.request

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> int:
        tokens = (await read_document(response, attempt)).get("input_tokens")
        if not isinstance(tokens, int):
            raise UpstreamFailed("Bedrock's count of tokens made no sense", detail="no input_tokens")
        return tokens
