"""Readers of streams: a reader for each kind, which notes usage and service tier in the record of the attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from app.adaptation.response_mapping import EventMapping, ResponseMapping
from app.bedrock.errors import error_of_openai
from app.bedrock.stream_decoding import EventDecoder, NativeDecoder, ServerSentDecoder, UsageTap, usage_of_invocation
from app.converse.call import NativeEvent
from app.converse.events import Event
from app.converse.usage import Usage, tier_of
from app.converse.well_formed import WellFormed
from app.errors import UpstreamFailed
from app.observability.observer import AttemptRecord

UsageReader = Callable[[dict[str, Any]], Usage | None]
Batch_co = TypeVar("Batch_co", covariant=True)


class Reader(Protocol[Batch_co]):
    """Decodes the bytes of a stream, however they are split into reads."""

    @property
    def is_over(self) -> bool:
        """True once the answer is complete, though more bytes may follow."""
        ...

    def feed(self, data: bytes) -> Batch_co:
        """Return what the next bytes complete, or something empty. Raises GatewayError."""
        ...

    def finish(self) -> None:
        """Accept the end of the bytes. Raises GatewayError if the answer is incomplete."""
        ...


class EventReader:
    """Reads Converse's events, a batch for each read, in the caller's terms."""

    is_over = False

    def __init__(self, mapping: ResponseMapping, attempt: AttemptRecord) -> None:
        self._decoder = EventDecoder()
        self._well_formed = WellFormed()
        self._mapping = EventMapping(mapping) if mapping.is_needed else None
        self._attempt = attempt
        self._metadata: Any = {}
        self._more: Any = None
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[Event]:
        events = self._decoder.feed(data)
        for event in events:
            if "metadata" in event:
                self._metadata = {**self._metadata, **event["metadata"]}
                self._note()
            elif "messageStop" in event:
                self._more = event["messageStop"].get("additionalModelResponseFields")
                self._note()
        events = self._well_formed.feed(events)
        return events if self._mapping is None else self._mapping.feed(events)

    def _note(self) -> None:
        # the usage so far counts even if the stream breaks afterwards
        if self._metadata.get("usage") is not None:
            self._attempt.usage = Usage.of(self._metadata["usage"], self._more)
        self._attempt.tier = tier_of(self._metadata) or self._attempt.tier


class NativeReader:
    """Reads the events of an invocation, a batch for each read.

    Args:
        last: the `type` of the document that completes a message. usage_of: reads the tokens from a document.
    """

    is_over = False

    def __init__(self, last: str, usage_of: UsageReader, attempt: AttemptRecord) -> None:
        self._decoder = NativeDecoder(last)
        self._usage_of = usage_of
        self._attempt = attempt
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[NativeEvent]:
        events, attempt = self._decoder.feed(data), self._attempt
        for event in events:
            document = event.document
            attempt.usage = self._usage_of(document) or attempt.usage or usage_of_invocation(document)
        return events


class DocumentReader:
    """Reads the documents of a surface that speaks OpenAI, a batch for each read.

    Args:
        last: the `type` of the documents that complete an answer. usage_of: reads the tokens from a document.
    """

    def __init__(self, last: frozenset[str], usage_of: UsageReader, attempt: AttemptRecord) -> None:
        self._decoder = ServerSentDecoder(last)
        self._usage_of = usage_of
        self._attempt = attempt
        self._has_begun = False
        self.finish = self._decoder.finish

    @property
    def is_over(self) -> bool:
        return self._decoder.is_complete

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        documents, attempt = self._decoder.feed(data), self._attempt
        for document in documents:
            attempt.usage = read_usage(self._usage_of, document) or attempt.usage
            attempt.tier = read_tier(document) or attempt.tier
        if documents and not self._has_begun:
            # only before the first document may failover try another target
            self._has_begun = True
            refuse_failed(documents[0].get("response"))
        return documents


class TappedReader:
    """Passes bytes on and shows them to a tap.

    Args:
        tap: reads the usage, and knows whether the stream is complete.
    """

    is_over = False

    def __init__(self, tap: UsageTap) -> None:
        self._tap = tap

    def feed(self, data: bytes) -> bytes:
        self._tap.feed(data)
        return data

    def finish(self) -> None:
        if not self._tap.is_at_boundary and not self._tap.has_failed:
            raise UpstreamFailed("Bedrock's stream ended in the middle of an event", detail="ended early")
        if self._tap.is_cut_short:
            raise UpstreamFailed("Bedrock's stream ended too early", detail="ended early")


def refuse_failed(response: Any) -> None:
    """Raise the error of a failed response, whose status is 200 all the same.

    Source: docs/reference/contracts/openai-responses.md#event-order
    """
    if isinstance(response, dict) and response.get("status") == "failed" and isinstance(response.get("error"), dict):
        raise error_of_openai(response["error"])


def read_tier(document: dict[str, Any]) -> str:
    """Return the service tier in a completion, a response, or an event with one; empty where it is not decided yet."""
    match document:
        case {"response": {"service_tier": str(tier)}} | {"service_tier": str(tier)}:
            return "" if tier == "auto" else tier
        case _:
            return ""


def read_usage(usage_of: UsageReader, document: dict[str, Any]) -> Usage | None:
    """Return the tokens of a document; None if they are malformed, since the answer is good all the same."""
    try:
        return usage_of(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
