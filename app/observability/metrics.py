"""The metrics of a process, for Prometheus.

Every label has a bounded set of values: routes are templates, and the name of a model is a label once the model has
answered. Callers are not a label, since readers of the metrics need not know them; teams are, in `team_metrics`.
`exposition` writes them as text.

Counters and histograms are updated by one thread and may be read by any. An update takes a fifth of the time of
prometheus_client's own classes, which take a lock for each.
"""

import math
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import Struct, field

from app.observability.observer import RequestRecord

# statuses of requests that a limit refused: the second is Anthropic's
THROTTLED = (429, 529)
# Prometheus's text format
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OTHER = "other"
_MAX_MODELS = 200
# the names by which callers may reach those models: ARNs differ by account
_MAX_NAMES = 1000
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_GAPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
# by number, so that an alert can compare them
_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


# of pools of Bedrock's quotas: what each is, and whether it only grows
QUOTA_FIGURES = {
    "limit_tokens_per_minute": ("Tokens per minute that the quota allows.", False),
    "learned_share": ("The share of the quota that is used, as throttles have taught.", False),
    "waiting_calls": ("Calls that wait for the quota now.", False),
    "reserved_now_tokens": ("Tokens that calls reserve now.", False),
    "calls": ("Calls that were sent and have ended.", True),
    "queued": ("Calls that had to wait.", True),
    "waited_seconds": ("Seconds that calls waited that were sent then.", True),
    "reserved_tokens": ("Tokens that calls reserved.", True),
    "settled_tokens": ("Tokens that calls took.", True),
    "throttled": ("Calls that Bedrock throttled.", True),
    "refused": ("Calls that could not start in time.", True),
    "spilled": ("Calls that went to another target.", True),
    "day_spent": ("1 while Bedrock says that the tokens of the day are spent.", False),
    "cloudwatch_tokens_per_minute": ("Tokens per minute that Bedrock counted, as CloudWatch says.", False),
}


class Counts(Struct, frozen=True):
    """A counter. values: counts by the values of the labels; callers add to them directly."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: defaultdict[tuple[str, ...], float] = field(default_factory=lambda: defaultdict(float))


class Seconds(Struct, frozen=True):
    """A histogram.

    bounds: the upper bounds of its buckets, in seconds; the last is infinite.
    members: the count of each bucket, then the sum of all observations, by the values of the labels.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    members: dict[tuple[str, ...], list[float]] = {}

    def note(self, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """Add an observation."""
        member = self.members.get(labels)
        if member is None:
            member = self.members[labels] = [0.0] * (len(self.bounds) + 1)
        member[bisect_left(self.bounds, seconds)] += 1
        member[-1] += seconds


class Gauges(Struct, frozen=True):
    """Gauges that are read when the metrics are rendered. values: by the value of the label, if there is one.

    is_total: they only grow, as counters do.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    values: Callable[[], Mapping[tuple[str, ...], float]]
    is_total: bool = False


class RequestTotals(Struct, frozen=True):
    """Requests that have ended. errors: of them, those that failed. throttles: those that a limit refused."""

    requests: int = 0
    errors: int = 0
    throttles: int = 0


class Metrics:
    """An observer that counts requests, attempts, tokens and cost.

    all: every metric, in the order in which they are rendered.

    Args:
        model_of: returns a model's name without account and region.
    """

    def __init__(self, model_of: Callable[[str], str] = str) -> None:
        self._model_of = model_of
        self._models: set[str] = set()
        # labels of models by the names that were called
        self._labels: dict[str, str] = {}
        self.all: list[Counts | Seconds | Gauges] = []
        self._requests = self.counts("requests", "Requests that have ended.", "dialect", "route", "status")
        self._errors = self.counts("errors", "Requests that have failed, by kind of error.", "dialect", "kind")
        self._broken = self.counts("streams_broken", "Streams that failed after a status of 200 was sent.", "dialect")
        self._duration = self._seconds("request", "Seconds that requests took.", _SECONDS, "dialect", "streamed")
        self._first_event = self._seconds("first_event", "Seconds to a stream's first event.", _SECONDS, "dialect")
        self._attempts = self.counts(
            "attempts", "Requests to Bedrock; `outcome` is ok or an error.", "model", "outcome"
        )
        self._failovers = self.counts("failovers", "Requests that called another target than the first.", "model")
        self._tokens = self.counts("tokens", "Tokens that were spent.", "model", "type")
        self._cost = self.counts("cost_usd", "What requests cost, where their price is known.", "model")
        self._exceeded = self.counts(
            "limits_exceeded", "Requests that a limit or budget let through which refuses nothing.", "kind"
        )
        self.note_gap = self._seconds("event_gap", "Seconds between what a stream's caller is sent.", _GAPS).note
        self.note_lag = self._seconds("event_loop_lag", "Seconds that the event loop came too late.", _LAGS).note

    def request_ended(self, record: RequestRecord) -> None:
        """Count one request."""
        dialect, labels, timed = _labels_of(record.dialect, record.route, record.status, record.streamed)
        self._requests.values[labels] += 1
        if record.error:
            self._errors.values[dialect, record.error] += 1
            if record.is_broken:
                self._broken.values[(dialect,)] += 1
        if record.dialect:
            self._duration.note(time.monotonic() - record.started, timed)
        if record.first_event_ms is not None:
            self._first_event.note(record.first_event_ms / 1000, (dialect,))
        if record.tries:
            self._count_call(record)
        for kind in record.exceeded:
            self._exceeded.values[(kind,)] += 1

    def _count_call(self, record: RequestRecord) -> None:
        labels, called = self._labels, record.model_behind or record.target
        for attempt in record.tries:
            model = labels.get(attempt.target) or self._label(attempt.target, has_answered=not attempt.error)
            self._attempts.values[model, attempt.error or "ok"] += 1
        model = labels.get(called) or self._label(called, has_answered=not record.tries[-1].error)
        if record.has_moved:
            # if all attempts failed, the record may be of another than the last
            last = record.tries[-1].target
            self._failovers.values[(model if last == record.target else self._label(last, has_answered=False),)] += 1
        if (usage := record.usage) is not None:
            tokens = self._tokens.values
            if usage.input > 0:
                tokens[model, "input"] += usage.input
            if usage.output > 0:
                tokens[model, "output"] += usage.output
            if usage.cache_read > 0:
                tokens[model, "cache_read"] += usage.cache_read
            if usage.cache_write > 0:
                tokens[model, "cache_write"] += usage.cache_write
        if record.cost and record.cost > 0:
            self._cost.values[(model,)] += record.cost

    def has_answered(self, model: str) -> bool:
        """Return whether a model has answered, so that it has a label."""
        return self._label(model, has_answered=False) != _OTHER

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

    def totals(self) -> RequestTotals:
        """Return how many requests of callers this process has served."""
        by_status: defaultdict[int, float] = defaultdict(float)
        for (dialect, _, status), count in [*self._requests.values.items()]:
            by_status[int(status)] += count if dialect != "none" else 0
        throttles = sum(by_status.pop(status, 0) for status in THROTTLED)
        failed = sum(count for status, count in by_status.items() if status >= 500)
        errors = failed + sum(self._broken.values.values())
        return RequestTotals(round(sum(by_status.values()) + throttles), round(errors), round(throttles))

    def counts(self, name: str, help_: str, *labels: str) -> Counts:
        """Add a counter, whose name is without prefix and suffix."""
        made = Counts(f"outcrop_{name}", help_, labels)
        self.all.append(made)
        return made

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when the metrics are rendered."""
        self.all.append(Gauges(f"outcrop_{name}", help_, (), lambda: {(): value()}))

    def watch_breakers(self, states: Callable[[], Mapping[str, str]]) -> None:
        """Add the circuit breakers that are not closed."""

        def values() -> dict[tuple[str, ...], float]:
            return {(target,): _BREAKER_STATES[state] for target, state in states().items()}

        described = "Breakers that are not closed: 1 half open, 2 open."
        self.all.append(Gauges("outcrop_breaker_state", described, ("target",), values))

    def watch_quotas(
        self, figures: Callable[[], Mapping[str, Mapping[str, float]]], sources: Callable[[], Mapping[str, str]]
    ) -> None:
        """Add the pools of Bedrock's quotas.

        Args:
            figures: those of each pool by their names, as in `QUOTA_FIGURES`. sources: where their limits come from.
        """

        def values_of(name: str) -> Callable[[], Mapping[tuple[str, ...], float]]:
            return lambda: {(pool,): each[name] for pool, each in figures().items() if name in each}

        for name, (help_, is_total) in QUOTA_FIGURES.items():
            self.all.append(Gauges(f"outcrop_quota_{name}", help_, ("pool",), values_of(name), is_total))
        described = "Where the limit of the quota comes from."
        self.all.append(
            Gauges("outcrop_quota_source", described, ("pool", "source"), lambda: dict.fromkeys(sources().items(), 1.0))
        )

    def _seconds(self, name: str, help_: str, bounds: tuple[float, ...], *labels: str) -> Seconds:
        made = Seconds(f"outcrop_{name}_seconds", help_, labels, (*bounds, math.inf))
        self.all.append(made)
        return made


@lru_cache(1024)
def _labels_of(dialect: str, route: str, status: int, streamed: bool) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the label of a dialect, and the labels of a request and of its duration."""
    dialect = dialect or "none"
    return dialect, (dialect, route or "none", str(status)), (dialect, "true" if streamed else "false")
