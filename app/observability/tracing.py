"""Traces requests with OpenTelemetry: a span for each request, and one for each attempt at Bedrock.

This module is imported only if OpenTelemetry's variables name a collector. Names and attributes follow its semantic
conventions for HTTP servers and for clients of generative AI (2026-11, `gen_ai.*` in development). No content is sent.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import requests
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as OpenTracer
from requests.adapters import HTTPAdapter

import app
from app.observability.observer import RequestRecord, Trace
from app.observability.trace import Headers, PassedOn, trace_headers
from app.observability.trace import Span as AnySpan

_MAX_RESPONSE_BYTES = 16_384
_NO_PARENT, _RANDOM = Context(), RandomIdGenerator()
_OPERATIONS = {"openai_embeddings": "embeddings", "cohere_rerank": "rerank"}


class OpenTelemetryTracer:
    """Sends spans by OTLP over HTTP from a thread. OpenTelemetry's variables configure it."""

    def __init__(self) -> None:
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)  # its warnings quote headers of callers
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "outcrop"}
        resource = Resource.create({**named, "service.version": app.__version__})
        # as OpenTelemetry's variables configure it; it decides before there is a span, which costs much more
        self._sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
        self._bound = _bound_of(self._sampler)
        self._passes_on = "traceparent" in propagate.get_global_textmap().fields
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(session=_session())))
        self._tracer = self._provider.get_tracer("outcrop", app.__version__)

    def begin(self, record: RequestRecord, headers: Mapping[str, str]) -> Trace:
        """See `Tracer`. Of a trace that is not sampled only the context is passed on."""
        received = trace_headers(headers) if "traceparent" in headers else {}
        parent, parent_id = _NO_PARENT, 0
        if received:
            parent = propagate.extract(received)
            parent_id = get_current_span(parent).get_span_context().trace_id
        trace_id = parent_id or _RANDOM.generate_trace_id()
        if parent_id or trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound:
            sampling = self._sampler.should_sample(parent, trace_id, record.method, SpanKind.SERVER)
            if sampling.decision is Decision.RECORD_AND_SAMPLE:
                self._ids.trace_id = trace_id
                span = self._tracer.start_span(record.method, parent, SpanKind.SERVER, sampling.attributes)
                return OpenTelemetryTrace(self._tracer, span)
        digits = format_trace_id(trace_id)
        if parent_id:
            return PassedOn(digits, tuple(received.items()))
        own = f"00-{digits}-{_RANDOM.generate_span_id():016x}-00"
        return PassedOn(digits, (("traceparent", own),) if self._passes_on else ())

    async def close(self, seconds: float) -> None:
        """See `Tracer`. Spans that are not sent in time are lost."""
        loop, is_done = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(is_done.set)

        # not a thread of the loop's executor: the loop waits for those without a limit when it closes
        threading.Thread(target=send, name="last spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await is_done.wait()


def _bound_of(sampler: Sampler) -> int:
    """Return the bound of the ids of traces without a parent that the sampler may sample."""
    root = vars(sampler)["_root"] if isinstance(sampler, ParentBased) else sampler
    return root.bound if type(root) is TraceIdRatioBased else TraceIdRatioBased.TRACE_ID_LIMIT + 1


class _Ids(RandomIdGenerator):
    """Makes ids of spans. trace_id: that of the next trace, of which the sampler has decided."""

    trace_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id


class OpenTelemetryTrace:
    """The spans of one request."""

    def __init__(self, tracer: OpenTracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._open: list[Span] = []

    @property
    def trace_id(self) -> str:
        """See `Trace`."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def begin_attempt(self, record: RequestRecord, host: str) -> tuple[Headers, Span]:
        """See `Trace`."""
        name, _, port = host.partition(":")
        operation = _OPERATIONS.get(record.dialect, "chat")
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "aws.bedrock",
            "gen_ai.request.model": record.target,
            "server.address": name,
            "server.port": int(port) if port.isdigit() else 443,
        }
        within = set_span_in_context(self._span)
        span = self._tracer.start_span(f"{operation} {record.target}".strip(), within, SpanKind.CLIENT, attributes)
        self._open.append(span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, set_span_in_context(span))
        return tuple(carrier.items()), span

    def end_attempt(self, record: RequestRecord, span: AnySpan, error: str) -> None:
        """See `Trace`. The span of an attempt that streams its response ends with the request."""
        if isinstance(span, Span) and (error or not record.streamed):
            self._close(record, span, error)

    def end(self, record: RequestRecord) -> None:
        """See `Trace`."""
        for span in [*self._open]:
            self._close(record, span, record.error)
        self._span.update_name(f"{record.method} {record.route}".strip())
        known: dict[str, str | int | float] = {
            "http.request.method": record.method,
            "http.route": record.route,
            "http.response.status_code": record.status,
            "error.type": record.error,
            "outcrop.request_id": record.request_id,
            "outcrop.caller": record.caller,
            "outcrop.dialect": record.dialect,
            "outcrop.mode": record.mode,
            "outcrop.attempts": record.attempts,
        }
        self._span.set_attributes({name: value for name, value in known.items() if value})
        if record.status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def _close(self, record: RequestRecord, span: Span, error: str) -> None:
        if span not in self._open:  # the request of a probe has ended already
            return
        self._open.remove(span)
        known: dict[str, str | int | float] = {
            "gen_ai.request.stream": record.streamed,
            "gen_ai.response.model": record.model_behind,
            "aws.request_id": record.upstream_request_id,
        }
        # for embeddings and rerank the record holds the sum of several calls
        if (usage := record.usage) and record.dialect not in _OPERATIONS:
            known |= {
                "gen_ai.usage.input_tokens": usage.prompt,
                "gen_ai.usage.output_tokens": usage.output,
                "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
                "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
                "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
            }
        if record.first_event_ms is not None:
            known["gen_ai.response.time_to_first_chunk"] = record.first_event_ms / 1000
        if error:
            known["error.type"] = error
            span.set_status(Status(StatusCode.ERROR))
        span.set_attributes({name: value for name, value in known.items() if value})
        span.end()


class _LimitedResponses(HTTPAdapter):
    """Reads at most 16 KB of a collector's response, enough to reuse the connection; nothing uses its content."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        response.raw.read(_MAX_RESPONSE_BYTES, decode_content=False)
        response.close()
        # a session reads the body of a redirection to its end
        response.raw = BytesIO()
        return response


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _LimitedResponses())
    return session
