"""A thousand streams at once that take their time: all of them whole, none of them late."""

import os

import pytest

from benchmarks.figures import stream_call, streams
from benchmarks.processes import Process, cores, gateway, upstream

pytestmark = [pytest.mark.endurance, pytest.mark.loopback, pytest.mark.timeout(0)]

COUNT, INTERVAL_MS, CHUNKS = 1000, 100, 100


def test_a_thousand_slow_streams_are_whole_and_in_time() -> None:
    measured, other = cores()
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {other})
    try:
        with upstream(other) as port, gateway(port, measured) as process:
            load = streams(process, stream_call(process.port, INTERVAL_MS, CHUNKS), COUNT, spread=2.0)
    finally:
        os.sched_setaffinity(0, everything)
    p50, p99 = load.delay_ms(0.5), load.delay_ms(0.99)
    print(f"{COUNT} streams of {CHUNKS} chunks, one each {INTERVAL_MS} ms: added p50 {p50:.2f} ms, p99 {p99:.2f} ms,")
    print(f"gap p99 {load.gap_ms(0.99):.1f} ms, {load.cpu / COUNT / CHUNKS * 1e6:.1f} us of CPU a chunk")
    assert load.faults == 0
    assert sum(len(answer.delays) for answer in load.answers) == COUNT * CHUNKS
    assert p99 <= 15
    assert isinstance(process, Process)
