"""Counters over several processes."""

import os

from app.process.shared_counter import SharedCounter, SharedCounterArray


def test_counter_of_one_process_is_not_shared() -> None:
    counter = SharedCounter()
    counter.add(3)
    counter.add(-1)
    assert (counter.own, counter.total, counter.is_shared) == (2, 2, False)


def test_total_includes_a_forked_process_until_it_is_forgotten() -> None:
    array = SharedCounterArray(processes=2, counters=3)
    here = array.counters(0)
    here[1].add(4)
    pid = os.fork()
    if not pid:
        there = array.counters(1)
        there[1].add(5 if there[1].total == 4 else 0)
        there[2].add(7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [(counter.own, counter.total) for counter in here] == [(0, 0), (4, 9), (0, 7)]
    assert here[1].is_shared
    array.forget(1)
    assert [counter.total for counter in here] == [0, 4, 0]
