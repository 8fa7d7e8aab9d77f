"""Writes metrics in Prometheus's text format. Imported when the metrics are first read."""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

from app.observability.metrics import Counts, Gauges, Seconds


def render(metrics: Iterable[Counts | Seconds | Gauges]) -> bytes:
    """Return metrics, and those of the process, as text."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(metrics))
    return generate_latest(registry)


def families(metrics: Iterable[Counts | Seconds | Gauges]) -> Iterator[Metric]:
    """Yield metrics as prometheus_client has them."""
    for metric in metrics:
        family: CounterMetricFamily | HistogramMetricFamily | GaugeMetricFamily
        match metric:
            case Counts():
                family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, count in metric.values.copy().items():
                    family.add_metric(labels, count)
            case Seconds():
                family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                members = metric.members.copy()
                if not metric.labels:
                    members.setdefault((), [0.0] * (len(metric.bounds) + 1))
                for labels, member in members.items():
                    *counts, total = member
                    up_to = zip(map(floatToGoString, metric.bounds), accumulate(counts), strict=True)
                    family.add_metric(labels, [*up_to], total)
            case Gauges():
                kind = CounterMetricFamily if metric.is_total else GaugeMetricFamily
                family = kind(metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.values().items():
                    family.add_metric(labels, value)
        yield family


class _Collector:
    def __init__(self, metrics: Iterable[Counts | Seconds | Gauges]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for a `CollectorRegistry`."""
        return families(self._metrics)
