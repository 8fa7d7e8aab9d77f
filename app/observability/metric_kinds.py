"""The kinds of metrics: counters, histograms and gauges.

`Counts` and `Seconds` are updated by one thread and may be read by any. An update takes a fifth of the time of
prometheus_client's own classes, which take a lock for each.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping

from msgspec import Struct, field


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
