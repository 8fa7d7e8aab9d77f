"""Limits of parallel requests."""

import asyncio
import time

import pytest

from app.errors import GatewayBusy
from app.governance.admission import Admission
from app.process.shared_counter import SharedCounterArray
from app.server.worker_counters import AdmissionCounters

pytestmark = pytest.mark.waits


class Visit:
    """A request that holds a permit."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def enter(self) -> "Visit":
        await self._admission.__aenter__()
        return self

    async def leave(self) -> None:
        await self._admission.__aexit__(None, None, None)


async def test_a_request_beyond_the_limit_is_refused_at_once() -> None:
    admission = Admission(2)
    first = await Visit(admission).enter()
    second = await Visit(admission).enter()
    with pytest.raises(GatewayBusy) as refusal:
        await Visit(admission).enter()
    assert refusal.value.default_retry_after == 1.0
    await first.leave()
    third = await Visit(admission).enter()
    assert (admission.counters.inside.total, admission.counters.waiting.total) == (2, 0)
    for each in (second, third):
        await each.leave()
    assert admission.counters.inside.total == 0


async def test_waiting_requests_get_permits_in_order_of_arrival() -> None:
    admission = Admission(1, max_waiting=2, timeout=5)
    order = []
    first = await Visit(admission).enter()

    async def visit(name: str) -> None:
        async with admission:
            order.append(name)

    waiting = [asyncio.create_task(visit(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert admission.counters.waiting.total == 2
    with pytest.raises(GatewayBusy):
        await Visit(admission).enter()
    await first.leave()
    await asyncio.gather(*waiting)
    assert (order, admission.counters.waiting.total, admission.counters.inside.total) == (["a", "b"], 0, 0)


async def test_a_waiting_request_is_refused_after_its_timeout() -> None:
    admission = Admission(1, max_waiting=1, timeout=0.02)
    first = await Visit(admission).enter()
    with pytest.raises(GatewayBusy):
        await Visit(admission).enter()
    assert (admission.counters.waiting.total, admission.counters.inside.total) == (0, 1)
    await first.leave()


async def test_a_cancelled_waiting_request_takes_no_permit() -> None:
    admission = Admission(1, max_waiting=9, timeout=5)
    first = await Visit(admission).enter()
    waiting = [asyncio.create_task(Visit(admission).enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await first.leave()  # the permit may already have been given to a request that is being cancelled
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert (admission.counters.waiting.total, admission.counters.inside.total) == (0, 1)
    assert waiting[2].exception() is None


async def test_a_permit_is_released_after_an_exception() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError):
        async with admission:
            raise ZeroDivisionError
    assert admission.counters.inside.total == 0


def shared(limit: int = 2, max_waiting: int = 1, timeout: float = 5) -> tuple[Admission, Admission]:
    """One limit, as two processes see it."""
    array = SharedCounterArray(2, 3)
    first, second = (
        Admission(limit, max_waiting, timeout, AdmissionCounters(*array.counters(process))) for process in range(2)
    )
    return first, second


async def test_the_limit_of_permits_and_the_queue_hold_for_all_processes_together() -> None:
    here, there = shared()
    first = await Visit(here).enter()
    second = await Visit(there).enter()
    waiting = asyncio.create_task(Visit(there).enter())
    await asyncio.sleep(0)
    assert (here.counters.inside.total, here.counters.waiting.total) == (2, 1)
    with pytest.raises(GatewayBusy):  # the queue is shared too
        await Visit(here).enter()
    await first.leave()  # the other process is not notified
    third = await asyncio.wait_for(waiting, 1)
    assert (there.counters.inside.own, there.counters.inside.total, there.counters.waiting.total) == (2, 2, 0)
    for each in (second, third):
        await each.leave()
    assert here.counters.inside.total == 0


async def test_processes_get_permits_in_the_order_in_which_their_requests_arrived() -> None:
    here, there = shared(limit=2, max_waiting=12)
    let_in: dict[int, int] = {}

    async def call_again_and_again(admission: Admission, process: int, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            async with admission:
                let_in[process] = let_in.get(process, 0) + 1
                await asyncio.sleep(0.005)

    end = asyncio.get_running_loop().time() + 1
    await asyncio.gather(
        *(
            call_again_and_again(admission, process, end)
            for process, admission in enumerate((here, there))
            for _ in range(5)
        )
    )
    assert min(let_in.values()) > max(let_in.values()) / 2, let_in
    assert (here.counters.inside.total, here.counters.waiting.total, here.counters.first_since.each) == (0, 0, [0, 0])


async def test_a_stopped_process_at_the_head_of_the_queue_is_passed_over_after_the_timeout() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=0.3)
    there.counters.waiting.add(1)
    there.counters.first_since.put(time.monotonic_ns())  # of a process that is stopped now
    waiting = asyncio.create_task(Visit(here).enter())
    await asyncio.sleep(0.1)
    assert not waiting.done()  # the stopped process's request came first
    waiting.cancel()
    await asyncio.sleep(0.25)  # the other request would have timed out
    async with asyncio.timeout(0.1):
        await Visit(here).enter()


async def test_a_queue_full_of_requests_of_a_stopped_process_lets_others_enter() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=0.2)
    there.counters.waiting.add(3)
    there.counters.first_since.put(time.monotonic_ns())
    with pytest.raises(GatewayBusy):
        await Visit(here).enter()
    await asyncio.sleep(0.25)
    await Visit(here).enter()
    assert (here.counters.inside.total, here.counters.waiting.own) == (1, 0)
