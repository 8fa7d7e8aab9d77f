"""Limits of held bytes."""

import pytest

from app.errors import GatewayBusy
from app.governance.held_bytes import ByteLimit, HeldBytes
from app.governance.per_caller import PerCaller
from app.process.shared_counter import SharedCounterArray


def test_the_bytes_of_all_bodies_are_limited() -> None:
    bodies = ByteLimit(100)
    first, second = HeldBytes(bodies), HeldBytes(bodies)
    first.add(60)
    second.add(40)
    with pytest.raises(GatewayBusy):
        second.add(1)
    first.release()
    first.release()
    second.add(60)
    second.release()
    assert bodies.held.total == 0


def test_the_bytes_of_the_bodies_of_all_processes_are_limited() -> None:
    array = SharedCounterArray(2, 1)
    here, there = (HeldBytes(ByteLimit(100, *array.counters(process))) for process in range(2))
    here.add(60)
    with pytest.raises(GatewayBusy):
        there.add(41)
    there.add(40)
    here.release()
    assert there.limits.held.total == 40


def test_one_caller_cannot_hold_more_than_its_limit_of_bytes_in_all_processes() -> None:
    array = SharedCounterArray(2, 3)
    here, there = (
        ByteLimit(100, held, 50, {"a": of_a, "b": of_b})
        for held, of_a, of_b in (array.counters(process) for process in range(2))
    )
    first, second, other = HeldBytes(here, "a"), HeldBytes(there, "a"), HeldBytes(there, "b")
    first.add(30)
    second.add(20)
    with pytest.raises(GatewayBusy) as refusal:
        second.add(1)
    assert refusal.value.detail == "too many bytes of one caller's bodies"
    other.add(50)
    with pytest.raises(GatewayBusy):
        HeldBytes(here, "without a limit").add(1)
    first.release()
    second.add(30)
    second.move(ByteLimit(100))
    other.release()
    assert (here.held.total, [counter.total for counter in here.of_each.values()]) == (0, [0, 0])


def test_one_virtual_key_cannot_hold_more_than_half_of_the_bytes() -> None:
    array = SharedCounterArray(1, 5)
    held, *others = array.counters(0)
    limits = ByteLimit(100, held, 50, PerCaller({}, others))
    assert limits.of_each.get("a") is not limits.of_each.get("b")
    one, other = HeldBytes(limits, "a"), HeldBytes(limits, "b")
    one.add(50)
    with pytest.raises(GatewayBusy) as refusal:
        one.add(1)
    assert refusal.value.detail == "too many bytes of one caller's bodies"
    other.add(50)
    one.release()
    other.release()
    assert [counter.total for counter in array.counters(0)] == [0] * 5
