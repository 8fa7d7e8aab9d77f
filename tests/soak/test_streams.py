"""A thousand slow streams at once."""

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.figures import run_streams, stream_call
from benchmarks.load import percentile
from benchmarks.processes import Process, cores, gateway, upstream

pytestmark = [pytest.mark.soak, pytest.mark.loopback, pytest.mark.timeout(0)]

COUNT, INTERVAL_MS, CHUNKS = 1000, 100, 100


@contextlib.contextmanager
def polling_health(process: Process) -> Iterator[list[float]]:
    """Request /health repeatedly; yield the milliseconds of each response."""
    waits: list[float] = []
    is_over = threading.Event()

    def poll() -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)) as connection:
            while not is_over.wait(0.02):
                started = time.monotonic()
                connection.request("GET", "/health")
                connection.getresponse().read()
                waits.append((time.monotonic() - started) * 1000)

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        yield waits
    finally:
        is_over.set()
        poller.join()


def test_a_thousand_slow_streams_are_complete_and_on_time() -> None:
    measured, other = cores()
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {other})
    try:
        with upstream(other) as port, gateway(port, measured) as process, polling_health(process) as waits:
            load = run_streams(process, stream_call(process.port, INTERVAL_MS, CHUNKS), COUNT, spread=2.0)
    finally:
        os.sched_setaffinity(0, everything)
    p50, p99 = load.delay_ms(0.5), load.delay_ms(0.99)
    print(f"{COUNT} streams of {CHUNKS} chunks, one each {INTERVAL_MS} ms: added p50 {p50:.2f} ms, p99 {p99:.2f} ms,")
    print(f"gap p99 {load.gap_ms(0.99):.1f} ms, {load.cpu / COUNT / CHUNKS * 1e6:.1f} us of CPU a chunk")
    assert load.faults == 0
    assert sum(len(answer.delays) for answer in load.answers) == COUNT * CHUNKS
    print(f"health meanwhile: {len(waits)} answers, p99 {percentile(waits, 0.99):.1f} ms, longest {max(waits):.1f} ms")
    assert p99 <= 15
    assert percentile(waits, 0.99) <= 50
