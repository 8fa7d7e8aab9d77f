"""Calls of Converse and ConverseStream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec.structs import replace

from app.adaptation import adapt
from app.adaptation.response_mapping import NO_MAPPING, EventMapping, ResponseMapping
from app.bedrock.client import BedrockRequest
from app.bedrock.stream_decoding import EventDecoder
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, ModelCall, Surface
from app.converse.events import Event
from app.converse.guardrail_units import units_in
from app.converse.reply import Reply
from app.converse.request import InferenceConfiguration
from app.converse.usage import Usage, tier_of
from app.converse.well_formed import WellFormed
from app.execution.operations.operation import HELD_STEP, JSON, MALFORMED, Operation, malformed, read_large
from app.execution.relay import Relay
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import json

T = TypeVar("T")
Parsed = TypeVar("Parsed")

_NO_CONFIG: InferenceConfiguration = {}


class _AdaptedCall(Operation[T], Generic[Parsed, T], frozen=True, kw_only=True):
    """A call that was adapted for one model.

    body: the request's. mapping: restores the caller's terms in the response.
    make: turns the parsed response, in the caller's terms, into the result.
    """

    api: ClassVar[str]
    mode: Mode = Mode.TRANSLATED
    surface: Surface = Surface.CONVERSE
    body: bytes
    mapping: ResponseMapping
    make: Callable[[Parsed], T]

    @classmethod
    def of(cls, call: ModelCall, target: Target, make: Callable[[Parsed], T]) -> Self:
        """Adapt a call for the model of a target. Raises InvalidRequest."""
        adapted = adapt(call, target.capabilities)
        return cls(
            body=json.dumps(adapted.body),
            mapping=adapted.mapping,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            tier=tier_of(adapted.body),
            max_tokens=adapted.body.get("inferenceConfig", _NO_CONFIG).get("maxTokens"),
            contents=adapted.contents,
        )

    @property
    def size(self) -> int:
        return len(self.body)

    def build(self, model: ModelId) -> BedrockRequest:
        path = f"/model/{model.quoted}/{self.api}"
        return BedrockRequest("bedrock-runtime", "POST", path, headers=JSON, body=self.body)


class ConverseOperation(_AdaptedCall[Reply, T], frozen=True, kw_only=True):
    """A complete reply by Converse."""

    api: ClassVar[str] = "converse"

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        body = await (response.read() if 0 <= attempt.length < HELD_STEP else read_large(response, attempt))
        if len(body) <= MAX_LOOP_BYTES:
            return self._make(body, attempt)
        return await off_loop(attempt.caller, len(body), partial(self._make, body, attempt))

    def _make(self, body: bytes, attempt: AttemptContext) -> T:
        try:
            reply = json.loads(body)
            _check(reply)
            attempt.usage = Usage.of(reply["usage"], reply.get("additionalModelResponseFields"))
            if "trace" in reply:
                attempt.usage = replace(attempt.usage, guardrail_units=units_in(reply["trace"]))
            attempt.tier = tier_of(reply)
            return self.make(reply if self.mapping == NO_MAPPING else self.mapping.reply(reply))
        except MALFORMED as error:
            raise malformed(error) from None


class ConverseStreamOperation(_AdaptedCall[Relay[list[Event]], T], frozen=True, kw_only=True):
    """The events of ConverseStream, a batch for each read."""

    api: ClassVar[str] = "converse-stream"
    is_streamed: ClassVar[bool] = True

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        relay = Relay(response, EventReader(self.mapping, attempt), attempt)
        return self.make(await relay.begun())


def _check(reply: Any) -> None:
    """Raise LookupError or TypeError if the reply lacks what translation relies on."""
    if not isinstance(reply["stopReason"], str) or not isinstance(reply["usage"], dict):
        raise TypeError
    for block in reply["output"]["message"]["content"]:
        if "toolUse" in block:
            tool = block["toolUse"]
            tool["toolUseId"], tool["name"], tool["input"]


class EventReader:
    """Reads Converse's events, a batch for each read, in the caller's terms."""

    is_over = False

    def __init__(self, mapping: ResponseMapping, attempt: AttemptContext) -> None:
        self._decoder = EventDecoder()
        self._well_formed = WellFormed()
        self._mapping = None if mapping == NO_MAPPING else EventMapping(mapping)
        self._attempt = attempt
        self._metadata: Any = {}
        self._model_fields: Any = None
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[Event]:
        events = self._decoder.feed(data)
        has_reported = False
        for event in events:
            if "metadata" in event:
                self._metadata, has_reported = {**self._metadata, **event["metadata"]}, True
            elif "messageStop" in event:
                self._model_fields, has_reported = event["messageStop"].get("additionalModelResponseFields"), True
        if has_reported and self._metadata:
            # the usage so far counts even if the stream breaks afterwards
            if self._metadata.get("usage") is not None:
                usage = Usage.of(self._metadata["usage"], self._model_fields)
                if "trace" in self._metadata:
                    usage = replace(usage, guardrail_units=units_in(self._metadata["trace"]))
                self._attempt.usage = usage
            self._attempt.tier = tier_of(self._metadata) or self._attempt.tier
        events = self._well_formed.feed(events)
        return events if self._mapping is None else self._mapping.feed(events)
