"""The port of tracing, and what stands behind it where nobody collects spans: W3C trace context, passed on."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from app.observability.observer import RequestRecord

Headers = tuple[tuple[str, str], ...]
Span = Any

# W3C Trace Context, version 00; ids of zeros are none
_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Trace(Protocol):
    """The trace of one request."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, or nothing."""
        ...

    def begin_attempt(self, record: "RequestRecord", host: str) -> tuple[Headers, Span]:
        """Bedrock is asked: the headers that tell it of the trace, and what `end_attempt` is given."""
        ...

    def end_attempt(self, record: "RequestRecord", span: Span, error: str) -> None:
        """The attempt has ended."""
        ...

    def end(self, record: "RequestRecord") -> None:
        """The request has ended."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, record: "RequestRecord", headers: list[tuple[bytes, bytes]]) -> Trace:
        """The trace of a request, which goes on with that of its headers, if they have one."""
        ...

    async def close(self, seconds: float) -> None:
        """Send what is left, for so many seconds."""
        ...


class PassedOn:
    """The caller's own trace context, as it came."""

    __slots__ = ("_headers", "trace_id")

    def __init__(self, trace_id: str = "", headers: Headers = ()) -> None:
        self.trace_id = trace_id
        self._headers = headers

    def begin_attempt(self, record: "RequestRecord", host: str) -> tuple[Headers, Span]:
        """See `Trace`."""
        del record, host
        return self._headers, None

    def end_attempt(self, record: "RequestRecord", span: Span, error: str) -> None:
        """See `Trace`."""

    def end(self, record: "RequestRecord") -> None:
        """See `Trace`."""


NO_TRACE = PassedOn()


class PassingTracer:
    """Collects nothing."""

    def begin(self, record: "RequestRecord", headers: list[tuple[bytes, bytes]]) -> Trace:
        """See `Tracer`."""
        del record
        found = trace_headers(headers)
        match = _PARENT.fullmatch(found.get("traceparent", ""))
        return PassedOn(match[1], tuple(found.items())) if match else NO_TRACE

    async def close(self, seconds: float) -> None:
        """See `Tracer`."""


def collects_spans(environment: Mapping[str, str]) -> bool:
    """True if OpenTelemetry's variables say whom to send spans to.

    Raises:
        ValueError: by a way that is not there.
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


def trace_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """What of a request's headers tells of its trace, as far as it can be passed on."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate") and len(value) <= 512 and value.isascii()
    }
