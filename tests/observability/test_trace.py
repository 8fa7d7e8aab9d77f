"""W3C trace context is passed on, and spans are collected if a collector is named."""

import pytest

from app.observability.observer import RequestRecord
from app.observability.trace import PassingTracer, collects_spans

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def begun(**headers: str) -> RequestRecord:
    record = RequestRecord("r", "POST")
    record.trace = PassingTracer().begin(record, headers)
    return record


def test_a_trace_context_is_passed_on_unchanged() -> None:
    record = begun(traceparent=PARENT, x="y", tracestate="a=b")
    assert record.trace.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert record.trace.begin_attempt(record, "host")[0] == (("traceparent", PARENT), ("tracestate", "a=b"))


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00-xyz",
        PARENT.upper(),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT + "\xff",
        PARENT + "x" * 1000,
        f"{PARENT},{PARENT}",
    ],
)
def test_an_invalid_trace_context_is_not_passed_on(parent: str) -> None:
    record = begun(traceparent=parent, tracestate="a=b")
    assert (record.trace.trace_id, record.trace.begin_attempt(record, "host")[0]) == ("", ())


@pytest.mark.parametrize(
    ("environment", "collects"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_spans_are_collected_if_the_variables_name_a_collector(environment: dict[str, str], collects: bool) -> None:
    assert collects_spans(environment) is collects


@pytest.mark.parametrize("wrong", [{"OTEL_TRACES_EXPORTER": "jaeger"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}])
def test_an_unsupported_exporter_or_protocol_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        collects_spans({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", **wrong})
