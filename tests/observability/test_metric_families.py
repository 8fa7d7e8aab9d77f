"""Counters and histograms, as the library's own would tell of them."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.observability.metric_families import Counts, Seconds

BOUNDS = (0.1, 1.0)


def told(registry: CollectorRegistry) -> list[str]:
    """What is told, without what the library tells of the time when it began to count."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_counter_tells_what_the_library_s_would() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter, counts = Counter("a", "Help.", ["x", "y"], registry=theirs), Counts("a", "Help.", "x", "y")
    ours.register(counts)
    assert told(ours) == told(theirs)
    for labels, count in ((("1", "2"), 1.0), (('"', "\n"), 2.5), (("1", "2"), 3.0)):
        counter.labels(*labels).inc(count)
        counts.values[labels] += count
    assert told(ours) == told(theirs)
    counts.values["1", "2"] += 1
    assert told(ours) != told(theirs)


def test_a_histogram_tells_what_the_library_s_would() -> None:
    for labels in ((), ("x",)):
        theirs, ours = CollectorRegistry(), CollectorRegistry()
        histogram = Histogram("a_seconds", "Help.", labels, registry=theirs, buckets=BOUNDS)
        seconds = Seconds("a_seconds", "Help.", BOUNDS, *labels)
        ours.register(seconds)
        assert told(ours) == told(theirs)
        for noted in (0.0, 0.1, 0.2, 1.0, 5.0):
            (histogram.labels(*labels) if labels else histogram).observe(noted)
            seconds.note(noted, *labels)
        assert told(ours) == told(theirs)
        seconds.note(0.2, *labels)
        assert told(ours) != told(theirs)
