"""The turns of callers whose work runs in threads."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from app.process.off_loop import MAX_LOOP_BYTES, FairPool, off_loop
from tests.waiting import until


class Work:
    """Work that runs until it is allowed to end. order: what has begun to run."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.may_end = threading.Event()

    def piece(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.order.append(name)
            self.may_end.wait(30)
            return name

        return run


@pytest.mark.parametrize("threads", [1, 2])
def test_work_of_different_callers_takes_turns(threads: int) -> None:
    """Finding M1: all work waited in one line."""
    pool, work = FairPool(threads), Work()
    begun = [pool.submit(caller, work.piece(caller)) for caller in ("x", "y")[:threads]]
    waiting = [pool.submit(name[0], work.piece(name)) for name in ("a1", "a2", "a3", "b1", "c1", "b2")]
    work.may_end.set()
    assert [each.result(30) for each in waiting] == ["a1", "a2", "a3", "b1", "c1", "b2"]
    assert [each.result(30) for each in begun] == ["x", "y"][:threads]
    if threads == 1:
        assert work.order == ["x", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_caller_runs_one_piece_at_a_time() -> None:
    pool, work = FairPool(2), Work()
    first = [pool.submit("a", work.piece("a")) for _ in range(5)]
    quick = Work()
    quick.may_end.set()
    assert pool.submit("b", quick.piece("b")).result(30) == "b"
    assert work.order == ["a"]
    work.may_end.set()
    assert [each.result(30) for each in first] == ["a"] * 5


def test_cancelled_work_does_not_run() -> None:
    pool, work = FairPool(1), Work()
    first, second, third = (pool.submit("a", work.piece(name)) for name in ("first", "second", "third"))
    assert second.cancel()
    work.may_end.set()
    assert (first.result(30), third.result(30), work.order) == ("first", "third", ["first", "third"])


class Body:
    """What a failed piece of work refers to."""


async def test_an_error_is_raised_to_the_caller_and_keeps_nothing_alive() -> None:
    body = Body()
    is_alive = weakref.ref(body)

    def fail(_: Body) -> None:
        raise ZeroDivisionError

    def work(body: Body = body) -> None:
        fail(body)

    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError):
            await off_loop("a", MAX_LOOP_BYTES + 1, work)
        del body, work
        await until(lambda: is_alive() is None)
    finally:
        gc.enable()


async def test_small_work_runs_at_once() -> None:
    assert await off_loop("a", MAX_LOOP_BYTES, threading.current_thread) is threading.current_thread()
    assert await off_loop("a", MAX_LOOP_BYTES + 1, threading.current_thread) is not threading.current_thread()


def test_a_caller_rests_between_two_pieces_for_as_long_as_the_first_took() -> None:
    pool = FairPool(2)
    first = pool.submit("hostile", lambda: (time.sleep(0.05), time.monotonic())[1])
    second = pool.submit("hostile", time.monotonic)
    assert second.result() - first.result() >= 0.045


def test_threads_leave_the_interpreter_to_the_event_loop_within_a_millisecond() -> None:
    """With Python's 5 ms, a request waits for a thread in each of its iterations of the event loop."""
    before = sys.getswitchinterval()
    try:
        FairPool(1).submit("a", time.monotonic).result(30)
        assert sys.getswitchinterval() <= 0.001
    finally:
        sys.setswitchinterval(before)


def test_cancelled_work_is_forgotten_before_its_turn() -> None:
    pool, begun, may_end = FairPool(1), threading.Event(), threading.Event()
    running = pool.submit("a", lambda: (begun.set(), may_end.wait(30)))
    assert begun.wait(30)
    body = Body()
    kept = weakref.ref(body)
    cancelled = pool.submit("a", partial(id, body))
    last = pool.submit("a", lambda: "done")
    del body
    assert cancelled.cancel()
    assert kept() is None
    may_end.set()
    assert running.result(30)
    assert last.result(30) == "done"
