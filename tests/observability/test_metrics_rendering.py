"""Counters and histograms render as prometheus_client's own do."""

import math
import re

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.observability.exposition import render
from app.observability.metrics import CONTENT_TYPE, Counts, Seconds

BOUNDS = (0.1, 1.0)


def rendered(registry: CollectorRegistry) -> list[str]:
    """Render a registry without the library's creation times."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def lines_of(metric: Counts | Seconds) -> list[str]:
    """Render a metric without those of the process."""
    return [line for line in render([metric]).decode().splitlines() if not re.match(r"(# (HELP|TYPE) )?process_", line)]


def test_the_content_type_is_the_library_s() -> None:
    assert CONTENT_TYPE == CONTENT_TYPE_PLAIN_0_0_4


def test_a_counter_renders_as_the_library_s() -> None:
    theirs = CollectorRegistry()
    counter, counts = Counter("a", "Help.", ["x", "y"], registry=theirs), Counts("a", "Help.", ("x", "y"))
    assert lines_of(counts) == rendered(theirs)
    for labels, count in ((("1", "2"), 1.0), (('"', "\n"), 2.5), (("1", "2"), 3.0)):
        counter.labels(*labels).inc(count)
        counts.values[labels] += count
    assert lines_of(counts) == rendered(theirs)
    counts.values["1", "2"] += 1
    assert lines_of(counts) != rendered(theirs)


def test_a_histogram_renders_as_the_library_s() -> None:
    for labels in ((), ("x",)):
        theirs = CollectorRegistry()
        histogram = Histogram("a_seconds", "Help.", labels, registry=theirs, buckets=BOUNDS)
        seconds = Seconds("a_seconds", "Help.", labels, (*BOUNDS, math.inf))
        assert lines_of(seconds) == rendered(theirs)
        for noted in (0.0, 0.1, 0.2, 1.0, 5.0):
            (histogram.labels(*labels) if labels else histogram).observe(noted)
            seconds.note(noted, *labels)
        assert lines_of(seconds) == rendered(theirs)
        seconds.note(0.2, *labels)
        assert lines_of(seconds) != rendered(theirs)
