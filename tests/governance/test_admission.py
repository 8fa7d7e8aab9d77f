"""So many at once, a short queue, and nobody who waits for nothing."""

import asyncio
import time

import pytest

from app.errors import GatewayBusy
from app.governance.admission import Admission, Bodies, HeldBody
from app.process.shared_counter import SharedCounterArray

pytestmark = pytest.mark.waits


class Visit:
    """Somebody inside."""

    def __init__(self, admission: Admission) -> None:
        self._place = admission

    async def enter(self) -> "Visit":
        await self._place.__aenter__()
        return self

    async def leave(self) -> None:
        await self._place.__aexit__(None, None, None)


async def test_so_many_get_in_and_the_rest_is_turned_away_at_once() -> None:
    admission = Admission(2)
    first = await Visit(admission).enter()
    second = await Visit(admission).enter()
    with pytest.raises(GatewayBusy) as refusal:
        await Visit(admission).enter()
    assert refusal.value.default_retry_after == 1.0
    await first.leave()
    third = await Visit(admission).enter()
    assert (admission.inside.total, admission.waiting.total) == (2, 0)
    for each in (second, third):
        await each.leave()
    assert admission.inside.total == 0


async def test_those_who_wait_get_in_as_they_came() -> None:
    admission = Admission(1, max_waiting=2, timeout=5)
    order = []
    first = await Visit(admission).enter()

    async def visit(name: str) -> None:
        async with admission:
            order.append(name)

    waiting = [asyncio.create_task(visit(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert admission.waiting.total == 2
    with pytest.raises(GatewayBusy):
        await Visit(admission).enter()
    await first.leave()
    await asyncio.gather(*waiting)
    assert (order, admission.waiting.total, admission.inside.total) == (["a", "b"], 0, 0)


async def test_nobody_waits_for_long() -> None:
    admission = Admission(1, max_waiting=1, timeout=0.02)
    first = await Visit(admission).enter()
    with pytest.raises(GatewayBusy):
        await Visit(admission).enter()
    assert (admission.waiting.total, admission.inside.total) == (0, 1)
    await first.leave()


async def test_whoever_stops_waiting_takes_no_place() -> None:
    admission = Admission(1, max_waiting=9, timeout=5)
    first = await Visit(admission).enter()
    waiting = [asyncio.create_task(Visit(admission).enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await first.leave()  # the place may already have been given to somebody who is just leaving
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert (admission.waiting.total, admission.inside.total) == (0, 1)
    assert waiting[2].exception() is None


async def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    admission = Admission(1)
    with pytest.raises(ZeroDivisionError):
        async with admission:
            raise ZeroDivisionError
    assert admission.inside.total == 0


def test_bodies_are_held_within_a_bound() -> None:
    bodies = Bodies(100)
    first, second = HeldBody(bodies), HeldBody(bodies)
    first.add(60)
    second.add(40)
    with pytest.raises(GatewayBusy):
        second.add(1)
    first.release()
    first.release()
    second.add(60)
    second.release()
    assert bodies.held.total == 0


def shared(limit: int = 2, max_waiting: int = 1, timeout: float = 5) -> tuple[Admission, Admission]:
    """The same limit as two processes have it."""
    array = SharedCounterArray(2, 3)
    first, second = (Admission(limit, max_waiting, timeout, *array.counters(process)) for process in range(2))
    return first, second


async def test_the_limit_is_that_of_all_processes_together() -> None:
    here, there = shared()
    first = await Visit(here).enter()
    second = await Visit(there).enter()
    waiting = asyncio.create_task(Visit(there).enter())
    await asyncio.sleep(0)
    assert (here.inside.total, here.waiting.total) == (2, 1)
    with pytest.raises(GatewayBusy):  # the queue is that of all, too
        await Visit(here).enter()
    await first.leave()  # nobody tells the other process
    third = await asyncio.wait_for(waiting, 1)
    assert (there.inside.own, there.inside.total, there.waiting.total) == (2, 2, 0)
    for each in (second, third):
        await each.leave()
    assert here.inside.total == 0


def test_bodies_of_all_processes_are_held_within_a_bound() -> None:
    array = SharedCounterArray(2, 1)
    here, there = (HeldBody(Bodies(100, *array.counters(process))) for process in range(2))
    here.add(60)
    with pytest.raises(GatewayBusy):
        there.add(41)
    there.add(40)
    here.release()
    assert there.bodies.held.total == 40


def test_no_name_holds_more_than_its_share_of_the_bodies_of_all_processes() -> None:
    array = SharedCounterArray(2, 3)
    here, there = (
        Bodies(100, held, 50, {"a": of_a, "b": of_b})
        for held, of_a, of_b in (array.counters(process) for process in range(2))
    )
    first, second, other = HeldBody(here, "a"), HeldBody(there, "a"), HeldBody(there, "b")
    first.add(30)
    second.add(20)
    with pytest.raises(GatewayBusy) as refusal:
        second.add(1)
    assert refusal.value.detail == "too many bytes of one caller's bodies"
    other.add(50)
    with pytest.raises(GatewayBusy):
        HeldBody(here, "of no share").add(1)
    first.release()
    second.add(30)
    second.move(Bodies(100))
    other.release()
    assert (here.held.total, [counter.total for counter in here.of_each.values()]) == (0, [0, 0])


async def test_processes_take_turns_as_their_callers_came() -> None:
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
            call_again_and_again(admission, permit, end)
            for permit, admission in enumerate((here, there))
            for _ in range(5)
        )
    )
    assert min(let_in.values()) > max(let_in.values()) / 2, let_in
    assert (here.inside.total, here.waiting.total, here.first.each) == (0, 0, [0, 0])


async def test_a_process_that_has_stopped_holds_nobody_up() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=0.3)
    there.waiting.add(1)
    there.first.put(time.monotonic_ns())  # and is never heard of again
    waiting = asyncio.create_task(Visit(here).enter())
    await asyncio.sleep(0.1)
    assert not waiting.done()  # the other came first
    waiting.cancel()
    await asyncio.sleep(0.25)  # nobody waits for longer than that
    async with asyncio.timeout(0.1):
        await Visit(here).enter()


async def test_the_waiters_of_a_stopped_process_close_the_queue_to_nobody() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=0.2)
    there.waiting.add(3)
    there.first.put(time.monotonic_ns())
    with pytest.raises(GatewayBusy):
        await Visit(here).enter()
    await asyncio.sleep(0.25)
    await Visit(here).enter()
    assert (here.inside.total, here.waiting.own) == (1, 0)
