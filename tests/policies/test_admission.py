"""So many at once, a short queue, and nobody who waits for nothing."""

import asyncio

import pytest

from app.errors import GatewayBusy
from app.policies.admission import Admission


async def test_so_many_get_in_and_the_rest_is_turned_away_at_once() -> None:
    admission = Admission(2)
    await admission.enter()
    await admission.enter()
    with pytest.raises(GatewayBusy) as refusal:
        await admission.enter()
    assert refusal.value.default_retry_after == 1.0
    admission.leave()
    await admission.enter()
    assert (admission.inside, admission.waiting) == (2, 0)


async def test_those_who_wait_get_in_as_they_came() -> None:
    admission = Admission(1, most_waiting=2, patience=5)
    order = []
    await admission.enter()

    async def visit(name: str) -> None:
        await admission.enter()
        order.append(name)
        admission.leave()

    waiting = [asyncio.create_task(visit(name)) for name in "ab"]
    await asyncio.sleep(0)
    assert admission.waiting == 2
    with pytest.raises(GatewayBusy):
        await admission.enter()
    admission.leave()
    await asyncio.gather(*waiting)
    assert (order, admission.waiting, admission.inside) == (["a", "b"], 0, 0)


async def test_nobody_waits_for_long() -> None:
    admission = Admission(1, most_waiting=1, patience=0.02)
    await admission.enter()
    with pytest.raises(GatewayBusy):
        await admission.enter()
    assert (admission.waiting, admission.inside) == (0, 1)


async def test_whoever_stops_waiting_takes_no_place() -> None:
    admission = Admission(1, most_waiting=9, patience=5)
    await admission.enter()
    waiting = [asyncio.create_task(admission.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    admission.leave()  # the place may already have been given to somebody who is just leaving
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert (admission.waiting, admission.inside) == (0, 1)
    assert waiting[2].exception() is None
