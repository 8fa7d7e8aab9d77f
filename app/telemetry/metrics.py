"""What the process counts and measures, for Prometheus.

Every label has a bounded set of values: routes are templates, and a model has a name here once it has answered. Callers
have none: whoever may read the metrics need not know them.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.utils import floatToGoString

from app.telemetry.observer import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
M = TypeVar("M", Counter, Histogram)
_OTHER = "other"
_MOST_MODELS = 200
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
# by number, so that an alert can compare them
_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """An observer that counts.

    Args:
        model_of: a model's name, without what tells accounts and regions apart.
    """

    def __init__(self, model_of: Callable[[str], str] = str) -> None:
        self._model_of = model_of
        self._models: set[str] = set()
        self._members: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests that have ended.", "dialect", "route", "status")
        self._errors = self._counter("errors", "Requests that have failed, by kind of error.", "dialect", "kind")
        self._broken = self._counter("streams_broken", "Streams that broke behind their 200.", "dialect")
        self._duration = self._histogram(
            "request_seconds", "Seconds that requests took.", _SECONDS, "dialect", "streamed"
        )
        self._first_event = self._histogram(
            "first_event_seconds", "Seconds to a stream's first event.", _SECONDS, "dialect"
        )
        self._attempts = self._counter(
            "attempts", "Requests to Bedrock; `outcome` is ok or an error.", "model", "outcome"
        )
        self._failovers = self._counter("failovers", "Requests that another target than the first was asked.", "model")
        self._tokens = self._counter("tokens", "Tokens that were spent.", "model", "type")
        self._cost = self._counter("cost_usd", "What requests cost, where their price is known.", "model")
        gaps = _Seconds("outcrop_event_gap_seconds", "Seconds between what a stream's caller is sent.", _GAPS)
        lags = _Seconds("outcrop_event_loop_lag_seconds", "Seconds that the event loop came too late.", _LAGS)
        self.registry.register(gaps)
        self.registry.register(lags)
        self.note_gap = gaps.note
        self.note_lag = lags.note
        ProcessCollector(registry=self.registry)

    def request_ended(self, record: RequestRecord) -> None:
        """Count one request."""
        dialect = record.dialect or "none"
        self._of(self._requests, dialect, record.route or "none", str(record.status)).inc()
        if record.error:
            self._of(self._errors, dialect, record.error).inc()
        if record.is_broken:
            self._of(self._broken, dialect).inc()
        if record.dialect:
            self._of(self._duration, dialect, "true" if record.streamed else "false").observe(
                record.elapsed_ms() / 1000
            )
        if record.first_event_ms is not None:
            self._of(self._first_event, dialect).observe(record.first_event_ms / 1000)
        if record.attempts:
            self._count_call(record)

    def _count_call(self, record: RequestRecord) -> None:
        for attempt in record.tries:
            model = self._label(attempt.target, has_answered=not attempt.error)
            self._of(self._attempts, model, attempt.error or "ok").inc()
        model = self._label(record.model_behind or record.target, has_answered=not record.tries[-1].error)
        if record.has_moved:
            # of those that all failed, the record may tell of another
            last = record.tries[-1].target
            is_last = last == record.target
            self._of(self._failovers, model if is_last else self._label(last, has_answered=False)).inc()
        if usage := record.usage:
            for kind in ("input", "output", "cache_read", "cache_write"):
                if (count := getattr(usage, kind)) > 0:
                    self._of(self._tokens, model, kind).inc(count)
        if record.cost and record.cost > 0:
            self._of(self._cost, model).inc(record.cost)

    def _of(self, metric: M, *labels: str) -> M:
        """The member of a family for these labels; looking it up in the family itself takes three times as long."""
        child = self._members.get((metric, labels))
        if child is None:
            child = self._members[metric, labels] = metric.labels(*labels)
        return cast(M, child)

    def _label(self, model: str, *, has_answered: bool) -> str:
        """A model's name where it is known to be one: callers may ask for any."""
        if not model:
            return "none"
        name = self._model_of(model)
        if name not in self._models:
            if not has_answered or len(self._models) >= _MOST_MODELS:
                return _OTHER
            self._models.add(name)
        return name

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Tell of a value that is looked up when somebody asks."""
        Gauge(f"outcrop_{name}", help_, registry=self.registry).set_function(value)

    def watch_breakers(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Tell of breakers that are not closed."""
        self.registry.register(_Breakers(states))

    def render(self) -> bytes:
        """Everything, in Prometheus's text format. Takes some tens of milliseconds where there are many models."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"outcrop_{name}", help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"outcrop_{name}", help_, labels, registry=self.registry, buckets=buckets)


class _Seconds:
    """A histogram for what happens with every chunk: noting costs a fifth of what the library's own takes, which asks
    for a lock twice.
    """

    def __init__(self, name: str, help_: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._help = help_
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def note(self, seconds: float) -> None:
        """It happened once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Any]:
        """What Prometheus's client calls."""
        family = HistogramMetricFamily(self._name, self._help)
        up_to = zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True)
        family.add_metric([], [*up_to], self._sum)
        yield family


class _Breakers:
    def __init__(self, states: Callable[[], Mapping[str, str]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Any]:
        """What Prometheus's client calls."""
        family = GaugeMetricFamily(
            "outcrop_breaker_state", "Breakers that are not closed: 1 half open, 2 open.", labels=["target"]
        )
        for target, state in self._states().items():
            family.add_metric([target], _BREAKER_STATES[state])
        yield family
