"""The tracer that only passes W3C trace context on."""

import re
from collections.abc import Mapping

Headers = tuple[tuple[str, str], ...]
# a span of the tracer that made it; nothing else looks inside
Span = object

# W3C Trace Context, version 00; an id of zeros is invalid
_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class PassedOn:
    """The caller's trace context, sent upstream unchanged."""

    __slots__ = ("_headers", "trace_id")

    def __init__(self, trace_id: str = "", headers: Headers = ()) -> None:
        self.trace_id = trace_id
        self._headers = headers

    def begin_attempt(self, record: object, host: str) -> tuple[Headers, Span]:
        """See `observer.Trace`."""
        del record, host
        return self._headers, None

    def end_attempt(self, record: object, span: Span, error: str) -> None:
        """See `observer.Trace`."""

    def end(self, record: object) -> None:
        """See `observer.Trace`."""


NO_TRACE = PassedOn()


class PassingTracer:
    """Passes the callers' trace context on, and collects no spans."""

    def begin(self, record: object, headers: Mapping[str, str]) -> PassedOn:
        """See `observer.Tracer`."""
        del record
        if "traceparent" not in headers:
            return NO_TRACE
        found = trace_headers(headers)
        match = _PARENT.fullmatch(found.get("traceparent", ""))
        return PassedOn(match[1], tuple(found.items())) if match else NO_TRACE

    async def close(self, seconds: float) -> None:
        """See `observer.Tracer`."""


def collects_spans(environment: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's variables name a collector.

    Raises:
        ValueError: a variable asks for an exporter or a protocol that is not supported.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").lower()
    if exporter not in ("", "otlp", "none"):
        raise ValueError("OTEL_TRACES_EXPORTER must be otlp or none")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if exporter == "none" or not any(environment.get(name) for name in endpoints):
        return False
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        if environment.get(name) not in (None, "", "http/protobuf"):
            raise ValueError(f"{name} must be http/protobuf")
    return True


def trace_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the trace context headers of a request that may be passed on: ASCII, and at most 512 bytes each."""
    named = ((name, headers.get(name)) for name in ("traceparent", "tracestate"))
    return {name: value for name, value in named if value is not None and len(value) <= 512 and value.isascii()}
