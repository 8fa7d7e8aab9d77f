"""Metrics: what is counted, and that the number of labels is limited."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.converse.usage import Usage
from app.observability import metrics as module
from app.observability.exposition import render
from app.observability.metrics import Metrics
from app.observability.observer import RequestRecord, TriedTarget


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(render(metrics.all).decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics).get((name, tuple(sorted(labels.items()))), 0.0)


def record(*outcomes: tuple[str, str], **members: Any) -> RequestRecord:
    made = RequestRecord("r", "POST", dialect="openai_chat", route="/v1/chat/completions", **members)
    for target, error in outcomes:
        made.target = target
        made.tries.append(TriedTarget(target, error=error))
    return made


def test_a_request_is_counted_in_every_metric() -> None:
    metrics = Metrics(lambda model: model.removeprefix("us."))
    known = record(("us.m", "rate_limited"), ("us.n", ""), status=200, streamed=True, usage=Usage(1, 2, 3, 4), cost=0.5)
    known.first_event_ms = 5.0
    known.has_moved = True
    metrics.request_ended(known)
    assert value(metrics, "outcrop_requests_total", dialect="openai_chat", route=known.route, status="200") == 1
    assert value(metrics, "outcrop_request_seconds_count", dialect="openai_chat", streamed="true") == 1
    assert value(metrics, "outcrop_first_event_seconds_count", dialect="openai_chat") == 1
    assert value(metrics, "outcrop_attempts_total", model="other", outcome="rate_limited") == 1
    assert value(metrics, "outcrop_attempts_total", model="n", outcome="ok") == 1
    assert value(metrics, "outcrop_failovers_total", model="n") == 1
    for kind, count in (("input", 1), ("output", 2), ("cache_read", 3), ("cache_write", 4)):
        assert value(metrics, "outcrop_tokens_total", model="n", type=kind) == count
    assert value(metrics, "outcrop_cost_usd_total", model="n") == 0.5


def test_a_failure_is_counted_by_its_kind() -> None:
    metrics = Metrics()
    metrics.request_ended(record(status=429, error="gateway_busy"))
    assert value(metrics, "outcrop_errors_total", dialect="openai_chat", kind="gateway_busy") == 1


def test_names_of_unknown_models_are_no_labels() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.request_ended(record((f"invented-{number}", "model_not_found"), status=404))
    assert value(metrics, "outcrop_attempts_total", model="other", outcome="model_not_found") == 1000
    assert not [labels for _, labels in samples(metrics) if "invented" in str(labels)]


def test_the_number_of_model_labels_is_limited() -> None:
    metrics = Metrics()
    for number in range(module._MAX_MODELS + 50):
        metrics.request_ended(record((f"m-{number}", ""), status=200))
    assert value(metrics, "outcrop_attempts_total", model="other", outcome="ok") == 50


def test_gauges_are_read_when_they_are_rendered() -> None:
    metrics = Metrics()
    states: dict[str, str] = {}
    metrics.watch("in_flight", "Now.", lambda: len(states))
    metrics.watch_breakers(lambda: states)
    assert value(metrics, "outcrop_in_flight") == 0
    states.update(a="open", b="half_open")
    assert value(metrics, "outcrop_in_flight") == 2
    assert value(metrics, "outcrop_breaker_state", target="a") == 2
    assert value(metrics, "outcrop_breaker_state", target="b") == 1


def test_negative_tokens_and_costs_are_not_counted() -> None:
    metrics = Metrics()
    metrics.request_ended(record(("m", ""), status=200, usage=Usage(-5, 2), cost=-1.0))
    assert value(metrics, "outcrop_tokens_total", model="m", type="input") == 0
    assert value(metrics, "outcrop_tokens_total", model="m", type="output") == 2
