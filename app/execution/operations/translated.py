"""Calls of models that Converse does not serve: translated to the API that does, and its answers back."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, Self, TypeVar

from app.adaptation.adapted_document import API, TRANSLATIONS, Events, adapt_document
from app.adaptation.response_mapping import NO_MAPPING, EventMapping, ResponseMapping
from app.bedrock.client import BedrockRequest
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode, ModelCall
from app.converse.events import Event
from app.converse.reply import Reply
from app.errors import GatewayError, UpstreamFailed
from app.execution.operations.mantle_messages import MessagesSurface
from app.execution.operations.openai import (
    OPENAI_APIS,
    DocumentReader,
    OpenAISurface,
    read_tier,
    read_usage,
    refuse_failed,
)
from app.execution.operations.operation import MALFORMED, Operation, malformed, read_document
from app.execution.relay import Relay
from app.models.ids import ModelId
from app.observability.observer import AttemptContext
from app.routing.planner import Target

T = TypeVar("T")
_LENGTHS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
Parsed = TypeVar("Parsed")


class _TranslatedCall(Operation[T], Generic[Parsed, T], frozen=True, kw_only=True):
    """A call that was adapted for one model and translated.

    api: the one that serves the model. upstream: where, and the body. mapping: restores the caller's terms.
    make: turns the parsed answer, in the caller's terms, into the result.
    """

    encodes_in_build: ClassVar[bool] = True
    mode: Mode = Mode.TRANSLATED
    api: API
    upstream: OpenAISurface | MessagesSurface
    mapping: ResponseMapping
    make: Callable[[Parsed], T]

    @classmethod
    def _of(cls, call: ModelCall, target: Target, make: Callable[[Parsed], T], *, is_streamed: bool) -> Self:
        api = target.translated_to
        if api == "converse":
            raise ValueError(f"{target.model.raw} is called by Converse")
        has_stops = bool(call.converse.get("inferenceConfig", {}).get("stopSequences"))
        if has_stops and target.capabilities.native.openai_chat:
            # Responses has no member for them
            api = "openai_chat"
        adapted = adapt_document(call, api, target.capabilities, is_streamed=is_streamed)
        upstream: OpenAISurface | MessagesSurface
        if (openai_api := OPENAI_APIS.get(api)) is None:
            upstream = MessagesSurface(adapted.body, target.model_behind)
        else:
            upstream = OpenAISurface.of(openai_api, target, adapted.body)
        tier = str(adapted.body.get("service_tier") or "")
        return cls(
            surface=upstream.surface,
            api=api,
            upstream=upstream,
            mapping=adapted.mapping,
            make=make,
            ignored=[*call.ignored, *adapted.ignored],
            adjusted=adapted.adjusted,
            tier=tier,
            max_tokens=next((adapted.body[name] for name in _LENGTHS if name in adapted.body), None),
        )

    def build(self, model: ModelId) -> BedrockRequest:
        return self.upstream.request(model)


class TranslatedOperation(_TranslatedCall[Reply, T], frozen=True, kw_only=True):
    """A complete answer, as a reply of Converse."""

    @classmethod
    def of(cls, call: ModelCall, target: Target, make: Callable[[Reply], T]) -> Self:
        """Adapt a call for the model of a target, and translate it. Raises InvalidRequest."""
        return cls._of(call, target, make, is_streamed=False)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        document = await read_document(response, attempt)
        translation = TRANSLATIONS[self.api]
        attempt.usage, attempt.tier = read_usage(translation.open_usage(), document), read_tier(document)
        refuse_failed(document)
        try:
            reply = translation.from_document(document)
            return self.make(reply if self.mapping == NO_MAPPING else self.mapping.reply(reply))
        except MALFORMED as error:
            raise malformed(error) from None


class TranslatedStreamOperation(_TranslatedCall[Relay[list[Event]], T], frozen=True, kw_only=True):
    """A streamed answer, as events of Converse, a batch for each read."""

    is_streamed: ClassVar[bool] = True

    @classmethod
    def of(cls, call: ModelCall, target: Target, make: Callable[[Relay[list[Event]]], T]) -> Self:
        """Adapt a call for the model of a target, and translate it. Raises InvalidRequest."""
        return cls._of(call, target, make, is_streamed=True)

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> T:
        translation = TRANSLATIONS[self.api]
        documents = DocumentReader(translation.last_events, translation.open_usage(), attempt)
        reader = TranslatedReader(documents, translation.open_events(), self.mapping)
        return self.make(await Relay(response, reader, attempt).begun())


class TranslatedReader:
    """Reads the documents of a stream as events of Converse, in the caller's terms.

    Args:
        documents: reads them. events: translates them.
    """

    def __init__(self, documents: DocumentReader, events: Events, mapping: ResponseMapping) -> None:
        self._documents = documents
        self._events = events
        self._mapping = None if mapping == NO_MAPPING else EventMapping(mapping)
        self._has_stopped = False
        self._failure: GatewayError | None = None

    @property
    def is_over(self) -> bool:
        return self._documents.is_over

    def finish(self) -> None:
        if self._failure is not None:
            raise self._failure.replaced()
        self._documents.finish()
        if not self._has_stopped:
            raise UpstreamFailed("Bedrock's stream ended before its message was complete", detail="ended early")

    def feed(self, data: bytes) -> list[Event]:
        if self._failure is not None:
            raise self._failure.replaced()
        events: list[Event] = []
        for document in self._documents.feed(data):
            try:
                refuse_failed(document.get("response"))
                events += self._events.feed(document)
            except GatewayError as error:
                self._failure = error.replaced()
            except MALFORMED as error:
                self._failure = malformed(error)
            if self._failure is not None:
                break
        if self._failure is not None and not events:
            # events before it are not lost: the next call raises it
            raise self._failure.replaced()
        self._has_stopped = self._has_stopped or any("messageStop" in event for event in events)
        return events if self._mapping is None else self._mapping.feed(events)
