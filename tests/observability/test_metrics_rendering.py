"""Counters and histograms render as prometheus_client's own do."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.observability.metrics import Counts, Seconds

BOUNDS = (0.1, 1.0)


def rendered(registry: CollectorRegistry) -> list[str]:
    """Render a registry without the library's creation times."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_counter_renders_as_the_library_s() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter, counts = Counter("a", "Help.", ["x", "y"], registry=theirs), Counts("a", "Help.", "x", "y")
    ours.register(counts)
    assert rendered(ours) == rendered(theirs)
    for labels, count in ((("1", "2"), 1.0), (('"', "\n"), 2.5), (("1", "2"), 3.0)):
        counter.labels(*labels).inc(count)
        counts.values[labels] += count
    assert rendered(ours) == rendered(theirs)
    counts.values["1", "2"] += 1
    assert rendered(ours) != rendered(theirs)


def test_a_histogram_renders_as_the_library_s() -> None:
    for labels in ((), ("x",)):
        theirs, ours = CollectorRegistry(), CollectorRegistry()
        histogram = Histogram("a_seconds", "Help.", labels, registry=theirs, buckets=BOUNDS)
        seconds = Seconds("a_seconds", "Help.", BOUNDS, *labels)
        ours.register(seconds)
        assert rendered(ours) == rendered(theirs)
        for noted in (0.0, 0.1, 0.2, 1.0, 5.0):
            (histogram.labels(*labels) if labels else histogram).observe(noted)
            seconds.note(noted, *labels)
        assert rendered(ours) == rendered(theirs)
        seconds.note(0.2, *labels)
        assert rendered(ours) != rendered(theirs)
