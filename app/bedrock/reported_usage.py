"""Reads the usage that Bedrock reports in headers, in invocation metrics, and in streams that pass through."""

import re
from base64 import b64decode
from typing import Any

from msgspec.structs import replace

from app.bedrock.stream_decoding import MALFORMED_STREAM, error_of_frame
from app.bedrock.transport import Headers
from app.converse.guardrail_units import TRACE, units_in
from app.converse.usage import Usage, count_in, tier_of
from app.errors import GatewayError, UpstreamFailed
from app.wire import json
from app.wire.eventstream import Frame, FrameDecoder

_COUNT = re.compile(r"[0-9]{1,12}\Z")


class UsageTap:
    """Reads the tokens that a passing event stream reports, and how it ends.

    has_failed: bytes came that are not frames; nothing is known from then on.
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
        if counted is None:
            return self._usage
        units = units_in([each[TRACE] for each in (before, last) if isinstance(each, dict) and TRACE in each])
        return replace(counted.with_details_of(_document_in(self._first_chunk), before), guardrail_units=units)

    @property
    def is_at_boundary(self) -> bool:
        """True if the bytes so far are complete frames, so that another may follow."""
        return not self.has_failed and self._frames.is_at_boundary

    @property
    def is_incomplete(self) -> bool:
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
            self.error = self.error or UpstreamFailed(MALFORMED_STREAM, detail=type(error).__name__)

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
                if self._usage is not None and "trace" in metadata:
                    self._usage = replace(self._usage, guardrail_units=units_in(metadata["trace"]))
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


def usage_of_headers(headers: Headers) -> Usage | None:
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


def tier_of_headers(headers: Headers) -> str:
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
