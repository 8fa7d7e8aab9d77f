"""Decodes the bytes of a stream into events; a stream that breaks off becomes an error.

`EventDecoder` reads ConverseStream, `NativeDecoder` the documents of a model's own format, `ServerSentDecoder` the
OpenAI-compatible surfaces.
"""

from typing import Any, Generic, TypeVar, cast

from msgspec import Struct, field

from app.bedrock.errors import error_of_name, error_of_openai
from app.converse.call import NativeEvent
from app.converse.events import Event
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.eventstream import Frame, FrameDecoder, FrameError
from app.wire.sse import SseParser

MALFORMED_STREAM = "Bedrock's stream is malformed"

# the members that translation relies on, by event, and their types; all others may be missing
_REQUIRED: dict[str, tuple[tuple[str, type], ...]] = {
    "messageStart": (("role", str),),
    "contentBlockStart": (("start", dict), ("contentBlockIndex", int)),
    "contentBlockDelta": (("delta", dict), ("contentBlockIndex", int)),
    "contentBlockStop": (("contentBlockIndex", int),),
    "messageStop": (("stopReason", str),),
}


T = TypeVar("T")


class _Decoder(Struct, Generic[T]):
    """Decodes frames, however their reads are split; subclasses decode what the frames hold."""

    _frames: FrameDecoder = field(default_factory=FrameDecoder)
    _is_complete: bool = False
    _failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[T]:
        """Decode the next bytes; return the events that they complete.

        An error after valid events is raised by the next call, so that those events are not lost.

        Raises:
            GatewayError: an exception frame, mapped by `errors`; UpstreamFailed: the bytes are not frames.
        """
        if self._failure is not None:
            raise self._failure.replaced()
        events: list[T] = []
        try:
            self._decode(self._frames.feed(data), events)
        except GatewayError as error:
            self._failure = error.replaced()
        except (FrameError, ValueError, LookupError, AttributeError, TypeError) as error:
            self._failure = UpstreamFailed(MALFORMED_STREAM, detail=str(error))
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

    def _decode(self, frames: list[Frame], events: list[T]) -> None:
        """Decode frames, and append their events; set `_is_complete` if they complete the message.

        Raises:
            GatewayError: an exception frame. ValueError, LookupError, AttributeError, TypeError: a malformed one.
        """
        del frames, events
        raise TypeError(f"{type(self).__name__} decodes no frames")


class EventDecoder(_Decoder[Event]):
    """Decodes the body of ConverseStream."""

    def _decode(self, frames: list[Frame], events: list[Event]) -> None:
        for frame in frames:
            if frame.headers.get(":message-type") != "event":
                raise error_of_frame(frame)
            kind = str(frame.headers.get(":event-type"))
            payload = json.loads(frame.payload)
            payload.pop("p", None)
            for member, expected in _REQUIRED.get(kind, ()):
                if not isinstance(payload.get(member), expected):
                    raise FrameError(f"a {kind} event without its {member}")
            if kind == "messageStop":
                self._is_complete = True
            elif kind == "metadata" and not isinstance(payload.get("usage"), dict | None):
                raise FrameError("a metadata event without its usage")
            event: Any = {kind: payload}
            events.append(event)


class _Chunk(Struct, frozen=True):
    text: bytes = field(name="bytes")


_read_chunk = json.reader_of(_Chunk)


class NativeDecoder(_Decoder[NativeEvent], kw_only=True):
    """Decodes the body of InvokeModelWithResponseStream, whose chunks hold documents of the model's own format.

    last: the `type` of the document that completes a message.
    """

    last: str

    def _decode(self, frames: list[Frame], events: list[NativeEvent]) -> None:
        for frame in frames:
            if frame.headers.get(":message-type") != "event":
                raise error_of_frame(frame)
            text = _read_chunk(frame.payload).text
            document = json.loads(text)
            if not isinstance(document, dict):
                raise FrameError("a chunk that is not an object")
            if document.get("type") == self.last:
                self._is_complete = True
            events.append(NativeEvent(document, text))


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
            GatewayError: an error that the stream reports; UpstreamFailed: the data of an event is not a document.
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
            self._failure = UpstreamFailed(MALFORMED_STREAM, detail=type(error).__name__)
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
        return error_of_name(name, str(headers.get(":error-message", "")) or MALFORMED_STREAM, status=500)
    try:
        document = json.loads(frame.payload)
    except json.JsonError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    message = document.get("originalMessage") or document.get("message") or MALFORMED_STREAM
    return error_of_name(str(headers.get(":exception-type", "")), str(message), status=500, extra=document)
