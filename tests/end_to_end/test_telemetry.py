"""Metrics in Prometheus format, and spans sent by OTLP."""

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from app.emulator.protocol import BreakableProtocol
from tests.end_to_end.conftest import Records
from tests.servers import KEY, KEY_NAME, emulator_app, gateway, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

HEADERS = {"authorization": f"Bearer {KEY}"}
MESSAGES = [{"role": "user", "content": "canary-in-the-prompt"}]
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-00"


def fetch(base: str, **headers: str) -> dict[str, float]:
    answer = httpx.get(f"{base}/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def chat(base: str, model: str, timeout: float | httpx.Timeout = 20, **changes: Any) -> httpx.Response:
    body, headers = {"model": model, "messages": MESSAGES, **changes}, {**HEADERS, "traceparent": PARENT}
    return httpx.post(f"{base}/v1/chat/completions", json=body, headers=headers, timeout=timeout)


def test_metrics_count_requests_errors_and_attempts(emulator_url: str) -> None:
    with gateway(emulator_url, bedrock_max_attempts=2) as base:
        assert chat(base, "scripted.echo-v1:0").status_code == 200
        assert chat(base, "scripted.echo-v1:0", stream=True).status_code == 200
        assert chat(base, "scripted.echo-v1:0.throttle-1").status_code == 200
        assert chat(base, "scripted.echo-v1:0.denied").status_code == 403
        wait_until(lambda: fetch(base)["outcrop_event_loop_lag_seconds_count[]"] >= 1)
        found = fetch(base)
    route = "/v1/chat/completions"
    assert found[f"outcrop_requests_total{sorted(['openai_chat', route, '200'])}"] == 3
    assert found[f"outcrop_requests_total{sorted(['openai_chat', route, '403'])}"] == 1
    assert found["outcrop_errors_total['openai_chat', 'permission']"] == 1
    assert found["outcrop_attempts_total['ok', 'scripted.echo-v1:0']"] == 2
    assert found["outcrop_attempts_total['other', 'rate_limited']"] == 1
    assert found["outcrop_first_event_seconds_count['openai_chat']"] == 1
    assert found["outcrop_event_gap_seconds_count[]"] >= 1
    assert found["outcrop_event_loop_lag_seconds_count[]"] >= 1
    assert found["outcrop_in_flight[]"] == 1  # this request itself
    assert found["outcrop_waiting[]"] == 0
    assert found["process_resident_memory_bytes[]"] > 0
    assert "canary" not in str(found)


@pytest.mark.parametrize("streamed", [False, True])
def test_error_is_recorded_with_its_target(emulator_url: str, streamed: bool) -> None:
    throttled, denied = "scripted.echo-v1:0.retryafter-100", "scripted.echo-v1:0.denied"
    records = Records()
    text = f'[routes.smart]\ntargets = [{{ model = "{throttled}" }}, {{ model = "{denied}" }}]\n'
    with gateway(emulator_url, records, config_toml=text) as base:
        answer = chat(base, "smart", stream=streamed)
        record = records.by_id(answer.headers["x-request-id"])
        found = fetch(base)
    assert answer.status_code == 429
    assert [attempt.target for attempt in record.tries] == [throttled, denied]
    assert (record.error, record.detail, record.target) == ("rate_limited", "ThrottlingException", throttled)
    assert found["outcrop_failovers_total['other']"] == 1


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/model/scripted.long-v1:0.stop-3/converse-stream"]
)
def test_stream_that_ended_early_is_recorded_as_such(emulator_url: str, path: str) -> None:
    records, is_ours = Records(), path.startswith("/v1")
    messages: Any = MESSAGES if is_ours else [{"role": "user", "content": [{"text": "x"}]}]
    body = {"messages": messages} | (
        {"model": "scripted.long-v1:0.stop-3", "stream": True, "max_tokens": 9} if is_ours else {}
    )
    with gateway(emulator_url, records) as base:
        answer = httpx.post(base + path, json=body, headers=HEADERS, timeout=20)
        record = records.by_id(answer.headers["x-request-id"])
    assert (record.status, record.error, record.detail) == (200, "upstream_failed", "ended early")


def test_metrics_can_require_a_key(emulator_url: str) -> None:
    with gateway(emulator_url, metrics_key="metrics-secret") as base:
        assert httpx.get(f"{base}/metrics").status_code == 401
        assert httpx.get(f"{base}/metrics", headers=HEADERS).status_code == 401
        assert fetch(base, authorization="Bearer metrics-secret")
        assert fetch(base, authorization="bearer metrics-secret")


def test_unknown_path_and_method_are_recorded_by_kind(emulator_url: str) -> None:
    records = Records()
    with gateway(emulator_url, records) as base:
        for method, path, kind in (("GET", "/nowhere", "not_found"), ("PUT", "/health", "method_not_allowed")):
            answer = httpx.request(method, base + path)
            assert records.by_id(answer.headers["x-request-id"]).error == kind


class Collector:
    """Receives spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.connections: set[Any] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.connections.add(scope["client"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        request = ExportTraceServiceRequest.FromString(body)
        for each in request.resource_spans:
            self.resources.append({item.key: item.value.string_value for item in each.resource.attributes})
            self.spans += [span for scope_spans in each.scope_spans for span in scope_spans.spans]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def named(self, name: str) -> list[tuple[Any, dict[str, Any]]]:
        deadline = time.monotonic() + 30
        while not (found := [span for span in self.spans if span.name == name]) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [(span, {item.key: value_of(item.value) for item in span.attributes}) for span in found]


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


class TraceRecorder:
    """The embedded Bedrock, which records the `traceparent` headers that it receives."""

    def __init__(self) -> None:
        self._emulator = emulator_app()
        self.parents: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            self.parents.append(dict(scope["headers"]).get(b"traceparent", b"").decode())
        await self._emulator(scope, receive, send)


@pytest.fixture
def bedrock() -> Iterator[tuple[TraceRecorder, str]]:
    recorder = TraceRecorder()
    with serving(recorder, http=BreakableProtocol) as url:
        yield recorder, url


@contextmanager
def traced(upstream: str, **changes: Any) -> Iterator[tuple[str, Collector]]:
    collector = Collector()
    with serving(collector) as url:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_SERVICE_NAME": "ours"}
        with mock.patch.dict(os.environ, settings), gateway(upstream, **changes) as base:
            yield base, collector


def test_request_and_each_attempt_have_spans(bedrock: tuple[TraceRecorder, str]) -> None:
    with traced(bedrock[1]) as (base, collector):
        assert chat(base, "scripted.echo-v1:0.throttle-1").status_code == 200
        ((server, attributes),) = collector.named("POST /v1/chat/completions")
        first, second = collector.named("chat scripted.echo-v1:0.throttle-1")
    assert server.trace_id.hex() == TRACE_ID
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    assert attributes["http.response.status_code"] == 200
    assert attributes["outcrop.caller"] == KEY_NAME
    assert attributes["outcrop.attempts"] == 2
    assert {first[0].parent_span_id, second[0].parent_span_id} == {server.span_id}
    assert first[1]["error.type"] == "rate_limited"
    assert first[0].status.code == 2
    assert second[1]["gen_ai.provider.name"] == "aws.bedrock"
    assert second[1]["gen_ai.operation.name"] == "chat"
    assert second[1]["gen_ai.request.model"] == "scripted.echo-v1:0.throttle-1"
    assert second[1]["gen_ai.usage.input_tokens"] > 0
    assert second[1]["server.address"] == "127.0.0.1"
    assert collector.resources[0]["service.name"] == "ours"
    assert [parent.split("-")[1:3] for parent in bedrock[0].parents] == [
        [TRACE_ID, first[0].span_id.hex()],
        [TRACE_ID, second[0].span_id.hex()],
    ]
    assert "canary" not in str(collector.spans)


@pytest.mark.parametrize("sampler", ["always_off", "traceidratio", "parentbased_traceidratio"])
def test_of_a_trace_that_is_not_sampled_only_the_context_is_passed_on(
    bedrock: tuple[TraceRecorder, str], sampler: str
) -> None:
    records, body = Records(), {"model": "scripted.echo-v1:0", "messages": MESSAGES}
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.0"}
    with mock.patch.dict(os.environ, variables), traced(bedrock[1], observer=records) as (base, collector):
        for parent in ({}, {"traceparent": UNSAMPLED}, {"traceparent": "00-malformed"}):
            answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers={**HEADERS, **parent}, timeout=20)
            assert answer.status_code == 200
    # the spans that are left are sent when the gateway stops
    assert collector.spans == []
    own, passed_on, other = bedrock[0].parents
    assert passed_on == UNSAMPLED
    for made in (own, other):
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00", made)
    traces = [record.trace.trace_id for record in records.all if record.method == "POST"]
    assert traces == [each.split("-")[1] for each in bedrock[0].parents]


def test_a_part_of_the_traces_is_sampled_whole(bedrock: tuple[TraceRecorder, str]) -> None:
    body = {"model": "scripted.echo-v1:0", "messages": MESSAGES}
    variables = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    with mock.patch.dict(os.environ, variables), traced(bedrock[1]) as (base, collector):
        for number in range(40):
            parent = {"traceparent": f"00-{number + 1:032x}-00f067aa0ba902b7-01"} if number % 4 == 0 else {}
            answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers={**HEADERS, **parent}, timeout=20)
            assert answer.status_code == 200
    assert len({parent.split("-")[1] for parent in bedrock[0].parents}) == 40
    sampled = sorted(parent.split("-")[1] for parent in bedrock[0].parents if int(parent[-2:], 16) & 1)
    assert 10 < len(sampled) < 40
    for name in ("POST /v1/chat/completions", "chat scripted.echo-v1:0"):
        assert sorted(span.trace_id.hex() for span in collector.spans if span.name == name) == sampled


def test_span_of_a_stream_lasts_as_long_as_the_stream(bedrock: tuple[TraceRecorder, str]) -> None:
    with traced(bedrock[1]) as (base, collector):
        assert chat(base, "scripted.echo-v1:0.drip-20", stream=True).status_code == 200
        ((server, _),) = collector.named("POST /v1/chat/completions")
        ((client, attributes),) = collector.named("chat scripted.echo-v1:0.drip-20")
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert server.end_time_unix_nano - client.end_time_unix_nano < 5_000_000


def test_pending_spans_are_sent_at_shutdown(bedrock: tuple[TraceRecorder, str]) -> None:
    with traced(bedrock[1]) as (base, collector):
        os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "20"
        answer = httpx.post(f"{base}/v1/embeddings", json={"input": ["a", "b"], "model": "x.y"}, headers=HEADERS)
        assert answer.status_code >= 400
    assert collector.named("POST /v1/embeddings")


class RecoveringBedrock:
    """An upstream that returns 503 while `is_down`, and answers nothing afterwards."""

    is_down = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not self.is_down:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b"{}"})


def test_cancelled_probe_closes_the_breaker_and_is_counted_as_cancelled() -> None:
    upstream = RecoveringBedrock()
    with serving(upstream) as url, traced(url, breaker_failures=1, breaker_seconds=0.1) as (base, _):
        assert chat(base, "a.b").status_code == 503
        upstream.is_down = False
        time.sleep(0.2)
        with pytest.raises(httpx.ReadTimeout):
            chat(base, "a.b", timeout=httpx.Timeout(20, read=0.5))
        wait_until(lambda: httpx.get(f"{base}/health/ready").json()["breakers"] == {})
        metrics = httpx.get(f"{base}/metrics").text
    assert 'outcome="cancelled"' in metrics
    assert 'outcome="ok"' not in metrics


def test_trace_context_is_passed_on_without_a_collector(bedrock: tuple[TraceRecorder, str]) -> None:
    with gateway(bedrock[1]) as base:
        assert chat(base, "scripted.echo-v1:0").status_code == 200
    assert bedrock[0].parents == [PARENT]


def test_unreachable_collector_does_not_delay_requests(bedrock: tuple[TraceRecorder, str]) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    with mock.patch.dict(os.environ, settings), gateway(bedrock[1]) as base:
        for _ in range(5):
            started = time.monotonic()
            assert chat(base, "scripted.echo-v1:0").status_code == 200
            assert time.monotonic() - started < 8


class FloodingCollector:
    """A collector that sends up to 100 MB until the client disconnects."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.sent = 0
        self.is_over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"location", b"/elsewhere")]})
        while not gone.done() and self.sent < 100_000_000:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            self.sent += 100_000
            await asyncio.sleep(0)  # uvicorn does not report a broken connection to `send`; `receive` must run
        await send({"type": "http.response.body", "body": b""})
        gone.cancel()
        self.is_over.set()


@pytest.mark.parametrize("status", [200, 307, 400])
def test_large_collector_response_is_not_read_to_its_end(bedrock: tuple[TraceRecorder, str], status: int) -> None:
    collector = FloodingCollector(status)
    with serving(collector) as url:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        with mock.patch.dict(os.environ, settings), gateway(bedrock[1]) as base:
            assert chat(base, "scripted.echo-v1:0").status_code == 200
            assert collector.is_over.wait(40)
    assert collector.sent < 50_000_000


def test_spans_are_sent_over_one_connection(bedrock: tuple[TraceRecorder, str]) -> None:
    with traced(bedrock[1]) as (base, collector):
        for target in ("scripted.echo-v1:0", "scripted.echo-v1:0.drip-20"):
            assert chat(base, target).status_code == 200
            assert collector.named(f"chat {target}")
    assert len(collector.connections) == 1
