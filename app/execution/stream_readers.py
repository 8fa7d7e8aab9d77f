"""What a stream says, and what the request's record learns of it: a reader for each kind of stream."""

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
from app.observability.observer import RequestRecord

UsageReader = Callable[[dict[str, Any]], Usage | None]
Heard_co = TypeVar("Heard_co", covariant=True)


class Reader(Protocol[Heard_co]):
    """Makes sense of a stream's bytes, however its reads were split."""

    @property
    def is_over(self) -> bool:
        """True once all has been said, though more bytes may follow."""
        ...

    def feed(self, data: bytes) -> Heard_co:
        """What the next bytes say; something empty where they say nothing yet. Raises GatewayError."""
        ...

    def finish(self) -> None:
        """The bytes have ended. Raises GatewayError where more had to follow."""
        ...


class EventReader:
    """Reads Converse's events, a batch for each read, in the caller's terms."""

    is_over = False

    def __init__(self, mapping: ResponseMapping, record: RequestRecord) -> None:
        self._decoder = EventDecoder()
        self._well_formed = WellFormed()
        self._mapping = EventMapping(mapping) if mapping.is_needed else None
        self._record = record
        self._metadata: Any = {}
        self._more: Any = None
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[Event]:
        """See `Reader`."""
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
        """What is told of tokens counts from then on, whatever becomes of the stream."""
        if self._metadata.get("usage") is not None:
            self._record.usage = Usage.of(self._metadata["usage"], self._more)
        self._record.tier = tier_of(self._metadata) or self._record.tier


class NativeReader:
    """Reads the events of an invocation, a batch for each read.

    Args:
        last: the `type` of the document that completes a message. usage_of: reads the tokens that a document tells of.
    """

    is_over = False

    def __init__(self, last: str, usage_of: UsageReader, record: RequestRecord) -> None:
        self._decoder = NativeDecoder(last)
        self._usage_of = usage_of
        self._record = record
        self.finish = self._decoder.finish

    def feed(self, data: bytes) -> list[NativeEvent]:
        """See `Reader`."""
        events, record = self._decoder.feed(data), self._record
        for event in events:
            document = event.document
            record.usage = self._usage_of(document) or record.usage or usage_of_invocation(document)
        return events


class DocumentReader:
    """Reads the documents of a surface that speaks OpenAI, a batch for each read.

    Args:
        last: the `type` of the documents that complete an answer. usage_of: as that of `NativeReader`.
    """

    def __init__(self, last: frozenset[str], usage_of: UsageReader, record: RequestRecord) -> None:
        self._decoder = ServerSentDecoder(last)
        self._usage_of = usage_of
        self._record = record
        self._has_begun = False
        self.finish = self._decoder.finish

    @property
    def is_over(self) -> bool:
        """See `Reader`."""
        return self._decoder.is_complete

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """See `Reader`."""
        documents, record = self._decoder.feed(data), self._record
        for document in documents:
            record.usage = told_by(self._usage_of, document) or record.usage
            record.tier = tier_told(document) or record.tier
        if documents and not self._has_begun:
            # until something of an answer has come it can still be asked for again
            self._has_begun = True
            refuse_failed(documents[0].get("response"))
        return documents


class TappedReader:
    """Lets bytes pass, and listens to them.

    Args:
        tap: knows at any time what has been told of tokens, and how the stream stands.
    """

    is_over = False

    def __init__(self, tap: UsageTap) -> None:
        self._tap = tap

    def feed(self, data: bytes) -> bytes:
        """See `Reader`."""
        self._tap.feed(data)
        return data

    def finish(self) -> None:
        """See `Reader`."""
        if not self._tap.is_at_boundary and not self._tap.has_failed:
            raise UpstreamFailed("Bedrock's stream ended in the middle of an event", detail="ended early")
        if self._tap.is_cut_short:
            raise UpstreamFailed("Bedrock's stream ended too early", detail="ended early")


def refuse_failed(response: Any) -> None:
    """Raises what a response that failed tells of: it has no other status than 200.

    Source: docs/reference/contracts/openai-responses.md#event-order
    """
    if isinstance(response, dict) and response.get("status") == "failed" and isinstance(response.get("error"), dict):
        raise error_of_openai(response["error"])


def tier_told(document: dict[str, Any]) -> str:
    """The tier that a completion, a response, or an event with one, says it was served by; `auto` is none yet."""
    match document:
        case {"response": {"service_tier": str(tier)}} | {"service_tier": str(tier)}:
            return "" if tier == "auto" else tier
        case _:
            return ""


def told_by(usage_of: UsageReader, document: dict[str, Any]) -> Usage | None:
    """The tokens that a document tells of; one that tells of them oddly is still an answer."""
    try:
        return usage_of(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
