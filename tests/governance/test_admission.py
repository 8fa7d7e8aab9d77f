"""Limits of parallel requests."""

import asyncio
import time
from typing import Any

import pytest

from app.errors import GatewayBusy
from app.governance.admission import Admission, Reserve
from app.governance.per_caller import PerCaller
from app.process.shared_counter import SharedCounterArray
from app.server.worker_counters import AdmissionCounters, ReserveCounters

pytestmark = pytest.mark.waits


class Visit:
    """A request that holds a permit."""

    def __init__(self, admission: Admission, caller: str = "") -> None:
        self._permit = admission.permit(caller)

    async def enter(self) -> "Visit":
        await self._permit.__aenter__()
        return self

    async def leave(self) -> None:
        await self._permit.__aexit__(None, None, None)


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
        async with admission.permit():
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
        async with admission.permit():
            raise ZeroDivisionError
    assert admission.counters.inside.total == 0


def shared(limit: int = 2, max_waiting: int = 1, timeout: float = 5) -> tuple[Admission, Admission]:
    """One limit, as two processes see it."""
    array = SharedCounterArray(2, 4)
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
    third = await asyncio.wait_for(waiting, 30)
    assert (there.counters.inside.own, there.counters.inside.total, there.counters.waiting.total) == (2, 2, 0)
    for each in (second, third):
        await each.leave()
    assert here.counters.inside.total == 0


async def test_processes_get_permits_in_the_order_in_which_their_requests_arrived() -> None:
    here, there = shared(limit=2, max_waiting=12)
    let_in: dict[int, int] = {}

    async def call_again_and_again(admission: Admission, process: int) -> None:
        while sum(let_in.values()) < 200:
            async with admission.permit():
                let_in[process] = let_in.get(process, 0) + 1
                await asyncio.sleep(0.005)

    await asyncio.gather(
        *(call_again_and_again(admission, process) for process, admission in enumerate((here, there)) for _ in range(5))
    )
    assert min(let_in.values()) > max(let_in.values()) / 2, let_in
    assert (here.counters.inside.total, here.counters.waiting.total, here.counters.first_since.each) == (0, 0, [0, 0])


async def test_a_stopped_process_at_the_head_of_the_queue_is_passed_over_after_the_timeout() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=60)
    there.counters.waiting.add(1)
    there.counters.first_since.put(time.monotonic_ns())  # of a process that is stopped now
    waiting = asyncio.create_task(Visit(here).enter())
    await asyncio.sleep(0.1)
    assert not waiting.done()  # the stopped process's request came first
    waiting.cancel()
    there.counters.first_since.put(time.monotonic_ns() - 61 * 10**9)  # the other request would have timed out
    async with asyncio.timeout(30):
        await Visit(here).enter()


async def test_a_queue_full_of_requests_of_a_stopped_process_lets_others_enter() -> None:
    here, there = shared(limit=1, max_waiting=3, timeout=60)
    there.counters.waiting.add(3)
    there.counters.first_since.put(time.monotonic_ns())
    with pytest.raises(GatewayBusy):
        await Visit(here).enter()
    there.counters.first_since.put(time.monotonic_ns() - 61 * 10**9)
    await Visit(here).enter()
    assert (here.counters.inside.total, here.counters.waiting.own) == (1, 0)


def fair(limit: int, reserves: dict[str, int], max_waiting: int = 0, timeout: float = 5) -> Admission:
    """Permits of several callers. reserves: permits that only one caller can take."""
    return Admission(limit, max_waiting, timeout, reserves={name: Reserve(count) for name, count in reserves.items()})


async def take_all(admission: Admission, caller: str) -> list[Visit]:
    """Take permits for one caller until one is refused."""
    held: list[Visit] = []
    while len(held) <= admission.limit:
        try:
            held.append(await Visit(admission, caller).enter())
        except GatewayBusy:
            break
    return held


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 7, 20, 5000])
@pytest.mark.parametrize("callers", [2, 3, 10, 60])
async def test_no_caller_can_take_all_permits_from_another(limit: int, callers: int) -> None:
    """Finding M2: permits were not shared between keys."""
    admission = fair(limit, {f"key-{number}": max(limit // (2 * callers), 1) for number in range(callers)})
    first = await take_all(admission, "key-0")
    assert limit // 2 <= len(first) < limit
    second = await take_all(admission, "key-1")
    assert len(second) >= max(limit // (2 * callers), 1)
    assert admission.counters.inside.total == len(first) + len(second) <= limit
    for each in (*first, *second):
        await each.leave()
    assert len(await take_all(admission, "key-1")) == len(first)


async def test_a_single_caller_can_take_all_permits() -> None:
    assert len(await take_all(Admission(20), "only")) == 20


async def test_waiting_requests_of_two_callers_take_turns() -> None:
    """Finding M2: the second caller waited behind all requests of the first."""
    admission = fair(4, {"a": 1, "b": 1}, max_waiting=20)
    first = [*await take_all_without_waiting(admission, "a"), await Visit(admission, "b").enter()]
    order: list[str] = []

    async def visit(caller: str) -> None:
        async with admission.permit(caller):
            order.append(caller)

    waiting = [asyncio.create_task(visit(caller)) for caller in "aaaaabbb"]
    await asyncio.sleep(0)
    await first[1].leave()  # one of the permits that any caller may take
    await asyncio.gather(*waiting)
    assert "".join(order) == "abababaa"
    for each in (first[0], *first[2:]):
        await each.leave()
    assert (admission.counters.inside.total, admission.counters.waiting.total) == (0, 0)


async def take_all_without_waiting(admission: Admission, caller: str) -> list[Visit]:
    return [
        await Visit(admission, caller).enter() for _ in range(admission.reserves[caller].permits + admission.common)
    ]


async def test_a_share_is_free_for_its_caller_while_others_wait() -> None:
    admission = fair(4, {"a": 1, "b": 1}, max_waiting=4)
    await take_all_without_waiting(admission, "a")
    waiting = asyncio.create_task(Visit(admission, "a").enter())
    await asyncio.sleep(0)
    async with asyncio.timeout(0.5), admission.permit("b"):
        assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert admission.counters.inside.total == 3


async def test_one_caller_cannot_fill_the_queue() -> None:
    admission = fair(4, {"a": 1, "b": 1}, max_waiting=4)
    await take_all_without_waiting(admission, "a")
    async with admission.permit("b"):
        waiting = [asyncio.create_task(Visit(admission, "a").enter()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(GatewayBusy) as refusal:
            await Visit(admission, "a").enter()
        assert refusal.value.detail == "no permit, and the queue is full"
        other = asyncio.create_task(Visit(admission, "b").enter())
        await asyncio.sleep(0)
        assert admission.counters.waiting.total == 4
        for each in (*waiting, other):
            each.cancel()
        await asyncio.wait([*waiting, other])
    assert (admission.counters.inside.total, admission.counters.waiting.total) == (3, 0)


async def test_shares_hold_for_all_processes_together() -> None:
    array = SharedCounterArray(2, 8)
    here, there = (
        Admission(
            20,
            counters=AdmissionCounters(*counters[:4]),
            reserves={
                "a": Reserve(5, ReserveCounters(*counters[4:6])),
                "b": Reserve(5, ReserveCounters(*counters[6:])),
            },
        )
        for counters in (array.counters(process) for process in range(2))
    )
    held = [await Visit(admission, "a").enter() for admission in (here, there) for _ in range(7)]
    held += await take_all(here, "a")
    assert len(held) == 15
    with pytest.raises(GatewayBusy):
        await Visit(there, "a").enter()
    assert len(await take_all(there, "b")) == 5
    for each in held:
        await each.leave()
    assert [counter.total for counter in array.counters(0)] == [5, 0, 0, 0, 0, 0, 5, 0]


def virtual(limit: int, max_waiting: int = 0, timeout: float = 5, process: int = 0, array: Any = None) -> Admission:
    """Permits of virtual keys, of which `a` and `b` share no counters."""
    array = array or SharedCounterArray(1, 16)
    counters = array.counters(process)
    others = [Reserve(0, ReserveCounters(*counters[4 + 3 * i : 7 + 3 * i]), max(limit // 2, 1)) for i in range(4)]
    reserves: PerCaller[Reserve] = PerCaller({}, others)
    assert reserves.get("a") is not reserves.get("b")
    return Admission(limit, max_waiting, timeout, AdmissionCounters(*counters[:4]), reserves)


@pytest.mark.parametrize("limit", [2, 3, 4, 20, 5000])
async def test_one_virtual_key_takes_half_of_the_permits_at_most(limit: int) -> None:
    admission = virtual(limit)
    first = await take_all(admission, "a")
    assert len(first) == max(limit // 2, 1)
    second = await take_all(admission, "b")
    assert len(second) == max(limit // 2, 1)
    for each in (*first, *second):
        await each.leave()
    assert admission.counters.inside.total == admission.counters.common.total == 0
    assert len(await take_all(admission, "a")) == len(first)


async def test_half_of_the_permits_is_counted_over_all_processes() -> None:
    array = SharedCounterArray(2, 16)
    here, there = (virtual(8, process=process, array=array) for process in range(2))
    held = [*await take_all(here, "a"), *await take_all(there, "a")]
    assert len(held) == 4
    assert len(await take_all(there, "b")) == 4


async def test_a_virtual_key_that_waits_at_its_limit_keeps_no_other_waiting() -> None:
    array = SharedCounterArray(2, 16)
    here, there = (virtual(8, max_waiting=4, process=process, array=array) for process in range(2))
    held = await take_all_of(here, "a", 4)
    waiting = asyncio.create_task(Visit(here, "a").enter())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    for admission in (here, there):
        async with asyncio.timeout(30), admission.permit("b"):
            assert not waiting.done()
    await held[0].leave()
    async with asyncio.timeout(30):
        await waiting


async def test_a_virtual_key_fills_half_of_the_queue_at_most() -> None:
    admission = virtual(4, max_waiting=4)
    await take_all_of(admission, "a", 2)
    waiting = [asyncio.create_task(Visit(admission, "a").enter()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayBusy) as refusal:
        await Visit(admission, "a").enter()
    assert refusal.value.detail == "no permit, and the queue is full"
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def take_all_of(admission: Admission, caller: str, count: int) -> list[Visit]:
    return [await Visit(admission, caller).enter() for _ in range(count)]


async def test_a_key_of_the_environment_leaves_permits_to_virtual_keys() -> None:
    reserves: PerCaller[Reserve] = PerCaller({"team": Reserve(2, largest=4)}, [Reserve(largest=4)])
    admission = Admission(8, reserves=reserves)
    first = await take_all(admission, "team")
    assert len(first) == 6
    second = await take_all(admission, "a")
    assert len(second) == 2
    for each in (*first, *second):
        await each.leave()
    assert len(await take_all(admission, "a")) == 4
    assert len(await take_all(admission, "team")) == 4
