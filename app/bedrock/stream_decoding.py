"""Decodes the bytes of a stream into events; a stream that breaks off becomes an error.

`EventDecoder` reads ConverseStream, `NativeDecoder` the documents of a model's own format, `ServerSentDecoder` the
OpenAI-compatible surfaces. `UsageTap` reads the usage of a stream that passes through unchanged.
"""

import re
from abc import ABC, abstractmethod
from base64 import b64decode
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct, field

from app.bedrock.errors import error_of_name, error_of_openai
from app.converse.call import NativeEvent
from app.converse.events import Event
from app.converse.usage import Usage, count_in, tier_of
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.eventstream import Frame, FrameDecoder, FrameError
from app.wire.sse import SseParser

_COUNT = re.compile(r"[0-9]{1,12}\Z")
_GARBLED = "Bedrock's stream was garbled"

# the members that translation relies on, by event; all others may be missing
_REQUIRED = {
    "messageStart": ("role",),
    "contentBlockStart": ("start", "contentBlockIndex"),
    "contentBlockDelta": ("delta", "contentBlockIndex"),
    "contentBlockStop": ("contentBlockIndex",),
    "messageStop": ("stopReason",),
}
_KINDS = {"role": str, "start": dict, "delta": dict, "contentBlockIndex": int, "stopReason": str, "usage": dict}


T = TypeVar("T")


class _Decoder(ABC, Generic[T]):
    """Decodes frames, however their reads are split; subclasses decode what a frame holds."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._is_complete = False
        self._failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[T]:
        """Decode the next bytes; return the events that they complete.

        An error after valid events is raised by the next call, so that those events are not lost.

        Raises:
            GatewayError: an exception frame, mapped by `errors`; UpstreamFailed: the bytes are no frames.
        """
        if self._failure is not None:
            raise self._failure.replaced()
        events: list[T] = []
        try:
            for frame in self._frames.feed(data):
                if frame.headers.get(":message-type") != "event":
                    raise error_of_frame(frame)
                events.append(self._event(frame))
        except GatewayError as error:
            self._failure = error.replaced()
        except (FrameError, ValueError, LookupError, AttributeError, TypeError) as error:
            self._failure = UpstreamFailed(_GARBLED, detail=str(error))
        if self._failure is not None and not events:
            raise self._failure.replaced()
        return events

    def finish(self) -> None:
        """Check that the stream has ended as it should.

        Raises:
            GatewayError: an error frame came last, or the stream broke off before its message was complete.
        """
        if self._failure is not None:
            raise self._failure.replaced()
        if not self._is_complete or not self._frames.is_at_boundary:
            raise UpstreamFailed("Bedrock's stream ended before its message was complete", detail="ended early")

    @abstractmethod
    def _event(self, frame: Frame) -> T:
        """Decode the payload of a frame; set `_is_complete` if it completes the message."""


class EventDecoder(_Decoder[Event]):
    """Decodes the body of ConverseStream."""

    def _event(self, frame: Frame) -> Event:
        kind = str(frame.headers.get(":event-type"))
        payload = json.loads(frame.payload)
        payload.pop("p", None)
        for member in _REQUIRED.get(kind, ()):
            if not isinstance(payload.get(member), _KINDS[member]):
                raise FrameError(f"a {kind} event without its {member}")
        if kind == "metadata" and not isinstance(payload.get("usage"), dict | None):
            raise FrameError("a metadata event without its usage")
        if kind == "messageStop":
            self._is_complete = True
        return cast(Event, {kind: payload})


class _Chunk(Struct, frozen=True):
    text: bytes = field(name="bytes")


_read_chunk = json.reader_of(_Chunk)


class NativeDecoder(_Decoder[NativeEvent]):
    """Decodes the body of InvokeModelWithResponseStream, whose chunks hold documents of the model's own format.

    Args:
        last: the `type` of the document that completes a message.
    """

    def __init__(self, last: str) -> None:
        super().__init__()
        self._last = last

    def _event(self, frame: Frame) -> NativeEvent:
        text = _read_chunk(frame.payload).text
        document = json.loads(text)
        if not isinstance(document, dict):
            raise FrameError("a chunk that is no object")
        if document.get("type") == self._last:
            self._is_complete = True
        return NativeEvent(document, text)


class ServerSentDecoder:
    """Decodes the documents of a stream of server-sent events, however its reads are split.

    Args:
        last: the `type` of the documents that complete a response; `[DONE]` completes one, too.
    """

    def __init__(self, last: frozenset[str] = frozenset()) -> None:
        self._events = SseParser()
        self._last = last
        self._is_complete = False
        self._failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Decode the next bytes; return the documents that they complete.

        An error after valid documents is raised by the next call, so that those are not lost.

        Raises:
            GatewayError: an error that the stream reports; UpstreamFailed: the data of an event is no document.
        """
        if self._failure is not None:
            raise self._failure.replaced()
        documents: list[dict[str, Any]] = []
        try:
            for payload in self._events.feed(data):
                if payload == b"[DONE]":
                    self._is_complete = True
                    continue
                documents.append(self._document(json.loads(payload)))
        except GatewayError as error:
            self._failure = error.replaced()
        except (ValueError, AttributeError, TypeError) as error:
            self._failure = UpstreamFailed(_GARBLED, detail=type(error).__name__)
        if self._failure is not None and not documents:
            raise self._failure.replaced()
        return documents

    def finish(self) -> None:
        """Check that the stream has ended as it should.

        Raises:
            GatewayError: an error came last, or the stream broke off before its response was complete.
        """
        if self._failure is not None:
            raise self._failure.replaced()
        if not self._is_complete:
            raise UpstreamFailed("Bedrock's stream ended before its message was complete", detail="ended early")

    @property
    def is_complete(self) -> bool:
        """True once the response is complete; what follows is not needed."""
        return self._is_complete

    def _document(self, document: Any) -> dict[str, Any]:
        kind, error = document.get("type"), document.get("error")
        if kind == "error" or document.get("object") == "error" or (kind is None and error):
            raise error_of_openai(error or document)
        if kind in self._last:
            self._is_complete = True
        return cast(dict[str, Any], document)


def error_of_frame(frame: Frame) -> GatewayError:
    """Make the error for a frame of type `exception` or `error`."""
    headers = frame.headers
    if headers.get(":message-type") == "error":
        name = str(headers.get(":error-code", ""))
        return error_of_name(name, str(headers.get(":error-message", "")) or _GARBLED, status=500)
    try:
        document = json.loads(frame.payload)
    except json.JsonError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    message = document.get("originalMessage") or document.get("message") or _GARBLED
    return error_of_name(str(headers.get(":exception-type", "")), str(message), status=500, extra=document)


class UsageTap:
    """Reads the tokens that a passing event stream reports, and how it ends.

    has_failed: bytes came that are no frames; nothing is known from then on.
    """

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self.has_failed = False
        self._usage: Usage | None = None
        self._first_chunk: Frame | None = None
        self._last_chunks: tuple[Frame | None, Frame | None] = (None, None)
        self._has_started = self._is_open = False
        self._model_fields: dict[str, Any] | None = None
        self.error: GatewayError | None = None
        self.tier = ""

    @property
    def usage(self) -> Usage | None:
        """The tokens as reported: by Converse's metadata, or by the last chunk of an invocation."""
        before, last = map(_document_in, self._last_chunks)
        counted = usage_of_invocation(last)
        return counted.with_details_of(_document_in(self._first_chunk), before) if counted is not None else self._usage

    @property
    def is_at_boundary(self) -> bool:
        """True if the bytes so far are complete frames, so that another may follow."""
        return not self.has_failed and self._frames.is_at_boundary

    @property
    def is_cut_short(self) -> bool:
        """True if there was no event, or if a message of Converse or Anthropic is not complete.

        The last chunk of other models has no known format.
        """
        if self.has_failed or self.error is not None:
            return False
        is_message_open = (
            _kind_of(self._first_chunk) == "message_start" and _kind_of(self._last_chunks[1]) != "message_stop"
        )
        return self._is_open or not self._has_started or is_message_open

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Never raises: what cannot be read is skipped."""
        if self.has_failed:
            return
        try:
            for frame in self._frames.feed(data):
                self._note(frame)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            self.has_failed = True
            self.error = self.error or UpstreamFailed(_GARBLED, detail=type(error).__name__)

    def _note(self, frame: Frame) -> None:
        if frame.headers.get(":message-type") != "event":
            self.error = error_of_frame(frame)
            return
        self._has_started = True
        match frame.headers.get(":event-type"):
            case "messageStart":
                self._is_open = True
            case "messageStop":
                self._is_open = False
                self._model_fields = json.loads(frame.payload).get("additionalModelResponseFields")
            case "metadata":
                metadata = json.loads(frame.payload)
                usage, self.tier = metadata.get("usage"), tier_of(metadata)
                self._usage = Usage.of(usage, self._model_fields) if isinstance(usage, dict) else None
            case "chunk":
                self._first_chunk = self._first_chunk or frame
                self._last_chunks = self._last_chunks[1], frame


def _kind_of(chunk: Frame | None) -> object:
    document = _document_in(chunk)
    return document.get("type") if isinstance(document, dict) else None


def _document_in(chunk: Frame | None) -> Any:
    """Return the document in a chunk of an invocation, if it can be read."""
    try:
        return json.loads(b64decode(json.loads(chunk.payload)["bytes"])) if chunk else None
    except (ValueError, LookupError, TypeError):
        return None


def usage_of_headers(headers: tuple[tuple[str, str], ...]) -> Usage | None:
    """Read the tokens in the headers of a complete response of InvokeModel; every recorded one has them."""
    prefix, suffix = "x-amzn-bedrock-", "-token-count"
    counts = {
        name.removeprefix(prefix).removesuffix(suffix): int(value)
        for name, value in headers
        if name.startswith(prefix) and name.endswith(suffix) and _COUNT.match(value)
    }
    if not counts:
        return None
    return Usage(
        input=counts.get("input", 0),
        output=counts.get("output", 0),
        cache_read=counts.get("cache-read-input", 0),
        cache_write=counts.get("cache-write-input", 0),
    )


def tier_of_headers(headers: tuple[tuple[str, str], ...]) -> str:
    """Read the service tier, or `optimized`, in the headers of an invocation's response or request.

    Both have the same names (botocore's service model, InvokeModel).
    """
    fields = dict(headers)
    latency = fields.get("x-amzn-bedrock-performanceconfig-latency", "")
    if latency == "optimized":
        return latency
    return fields.get("x-amzn-bedrock-service-tier", "default" if latency else "")


def usage_of_invocation(document: object) -> Usage | None:
    """Read the tokens in the invocation metrics of a chunk of InvokeModelWithResponseStream, if it has any."""
    metrics = document.get("amazon-bedrock-invocationMetrics") if isinstance(document, dict) else None
    if not isinstance(metrics, dict):
        return None
    return Usage(
        input=count_in(metrics, "inputTokenCount"),
        output=count_in(metrics, "outputTokenCount"),
        cache_read=count_in(metrics, "cacheReadInputTokenCount"),
        cache_write=count_in(metrics, "cacheWriteInputTokenCount"),
    )
