"""The metrics of a process, for Prometheus.

Every label has a bounded set of values: routes are templates, and the name of a model is a label once the model has
answered. Callers are no label, since readers of the metrics need not know them.

`Counts` and `Seconds` are updated by one thread and may be collected by any. An update takes a fifth of the time of
prometheus_client's own classes, which take a lock for each.
"""

import math
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.utils import floatToGoString

from app.observability.observer import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_OTHER = "other"
_MAX_MODELS = 200
# the names by which callers may reach those models: ARNs differ by account
_MAX_NAMES = 1000
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
# by number, so that an alert can compare them
_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Counts:
    """A counter. values: counts by the values of the labels; callers add to them directly."""

    def __init__(self, name: str, help_: str, *labels: str) -> None:
        self._name = name
        self._help = help_
        self._labels = labels
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def collect(self) -> Iterator[Metric]:
        """Yield the counts for a `CollectorRegistry`."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, count in self.values.copy().items():
            family.add_metric(labels, count)
        yield family


class Seconds:
    """A histogram.

    Args:
        bounds: the upper bounds of its buckets, in seconds.
    """

    def __init__(self, name: str, help_: str, bounds: tuple[float, ...], *labels: str) -> None:
        self._name = name
        self._help = help_
        self._labels = labels
        self._bounds = (*bounds, math.inf)
        # by the values of the labels: the count of each bucket, then the sum of all observations
        self._members: dict[tuple[str, ...], list[float]] = {} if labels else {(): self._zeros()}

    def note(self, seconds: float, *labels: str) -> None:
        """Add an observation."""
        member = self._members.get(labels)
        if member is None:
            member = self._members[labels] = self._zeros()
        member[bisect_left(self._bounds, seconds)] += 1
        member[-1] += seconds

    def _zeros(self) -> list[float]:
        return [0.0] * (len(self._bounds) + 1)

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram for a `CollectorRegistry`."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for labels, member in self._members.copy().items():
            *counts, total = member
            up_to = zip(map(floatToGoString, self._bounds), accumulate(counts), strict=True)
            family.add_metric(labels, [*up_to], total)
        yield family


class Metrics:
    """An observer that counts requests, attempts, tokens and cost.

    Args:
        model_of: returns a model's name without account and region.
    """

    def __init__(self, model_of: Callable[[str], str] = str) -> None:
        self._model_of = model_of
        self._models: set[str] = set()
        # labels of models by the names that were called
        self._labels: dict[str, str] = {}
        self.registry = CollectorRegistry()
        self._requests = self._counts("requests", "Requests that have ended.", "dialect", "route", "status")
        self._errors = self._counts("errors", "Requests that have failed, by kind of error.", "dialect", "kind")
        self._broken = self._counts("streams_broken", "Streams that failed after a status of 200 was sent.", "dialect")
        self._duration = self._seconds("request", "Seconds that requests took.", _SECONDS, "dialect", "streamed")
        self._first_event = self._seconds("first_event", "Seconds to a stream's first event.", _SECONDS, "dialect")
        self._attempts = self._counts(
            "attempts", "Requests to Bedrock; `outcome` is ok or an error.", "model", "outcome"
        )
        self._failovers = self._counts("failovers", "Requests that called another target than the first.", "model")
        self._tokens = self._counts("tokens", "Tokens that were spent.", "model", "type")
        self._cost = self._counts("cost_usd", "What requests cost, where their price is known.", "model")
        self.note_gap = self._seconds("event_gap", "Seconds between what a stream's caller is sent.", _GAPS).note
        self.note_lag = self._seconds("event_loop_lag", "Seconds that the event loop came too late.", _LAGS).note
        ProcessCollector(registry=self.registry)

    def request_ended(self, record: RequestRecord) -> None:
        """Count one request."""
        dialect = record.dialect or "none"
        self._requests.values[dialect, record.route or "none", str(record.status)] += 1
        if record.error:
            self._errors.values[dialect, record.error] += 1
            if record.is_broken:
                self._broken.values[(dialect,)] += 1
        if record.dialect:
            self._duration.note(time.monotonic() - record.started, dialect, "true" if record.streamed else "false")
        if record.first_event_ms is not None:
            self._first_event.note(record.first_event_ms / 1000, dialect)
        if record.tries:
            self._count_call(record)

    def _count_call(self, record: RequestRecord) -> None:
        labels = self._labels
        for attempt in record.tries:
            model = labels.get(attempt.target) or self._label(attempt.target, has_answered=not attempt.error)
            self._attempts.values[model, attempt.error or "ok"] += 1
        last, called = record.tries[-1], record.model_behind or record.target
        model = labels.get(called) or self._label(called, has_answered=not last.error)
        if record.has_moved:
            # if all attempts failed, the record may be of another than the last
            is_last = last.target == record.target
            self._failovers.values[(model if is_last else self._label(last.target, has_answered=False),)] += 1
        if usage := record.usage:
            for kind in ("input", "output", "cache_read", "cache_write"):
                if (count := getattr(usage, kind)) > 0:
                    self._tokens.values[model, kind] += count
        if record.cost and record.cost > 0:
            self._cost.values[(model,)] += record.cost

    def _label(self, model: str, *, has_answered: bool) -> str:
        """Return a model's name, or `other` for a name that no model has answered to: callers may send any."""
        if not model:
            return "none"
        name = self._model_of(model)
        if name not in self._models:
            if not has_answered or len(self._models) >= _MAX_MODELS:
                return _OTHER
            self._models.add(name)
        if len(self._labels) < _MAX_NAMES:
            self._labels[model] = name
        return name

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when the metrics are rendered."""
        Gauge(f"outcrop_{name}", help_, registry=self.registry).set_function(value)

    def watch_breakers(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Add the circuit breakers that are not closed."""
        self.registry.register(_Breakers(states))

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format. Takes tens of milliseconds if there are many models."""
        return generate_latest(self.registry)

    def _counts(self, name: str, help_: str, *labels: str) -> Counts:
        made = Counts(f"outcrop_{name}", help_, *labels)
        self.registry.register(made)
        return made

    def _seconds(self, name: str, help_: str, bounds: tuple[float, ...], *labels: str) -> Seconds:
        made = Seconds(f"outcrop_{name}_seconds", help_, bounds, *labels)
        self.registry.register(made)
        return made


class _Breakers:
    def __init__(self, states: Callable[[], Mapping[str, str]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge for a `CollectorRegistry`."""
        family = GaugeMetricFamily(
            "outcrop_breaker_state", "Breakers that are not closed: 1 half open, 2 open.", labels=["target"]
        )
        for target, state in self._states().items():
            family.add_metric([target], _BREAKER_STATES[state])
        yield family
