"""The declaration of the counters that processes share."""

from app.process.shared_counter import SharedCounterArray
from app.server.worker_counters import WorkerCounters


def test_every_declared_counter_has_its_own_cell_in_each_process() -> None:
    array = SharedCounterArray(2, WorkerCounters.size(callers=2))
    first, second = (WorkerCounters.of(array.counters(process), callers=2) for process in range(2))
    first.gateway.body_bytes.add(1)
    first.gateway.unverified.first_since.add(2)
    first.callers[0].unverified_body_bytes.add(3)
    first.callers[1].unverified.first_since.add(4)
    second.callers[1].unverified.first_since.add(5)
    counts = [counter.total for counter in array.counters(0)]
    assert counts == [1, 0, 0, *[0] * 4, 0, 0, 2, 0, 0, 0, 3, *[0] * 7, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0]


def test_counters_of_one_process_need_no_shared_memory() -> None:
    counters = WorkerCounters()
    counters.gateway.admission.inside.add(1)
    assert counters.gateway.admission.inside.total == 1
    assert WorkerCounters().gateway.admission.inside.total == 0
