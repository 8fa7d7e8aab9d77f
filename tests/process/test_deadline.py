import asyncio

import pytest

from app.process.deadline import Deadline, DeadlineTimer, seconds_until


def test_deadline_counts_down() -> None:
    assert 4.5 < Deadline.after(5).remaining() <= 5
    assert Deadline.after(-1).remaining() < 0


async def test_the_task_is_cancelled_at_its_deadline_and_goes_on() -> None:
    timer = DeadlineTimer()
    other = timer.begin(60)
    deadline = timer.begin(30)
    deadline.shorten(0.01, "SETTING")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    deadline.end()
    assert (deadline.has_passed, deadline.by, other.has_passed, timer.open) == (True, "SETTING", False, {other})
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_deadline_that_ended_cancels_nothing() -> None:
    timer = DeadlineTimer()
    ended, passed = timer.begin(0.01), timer.begin(0.02)
    ended.end()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    passed.end()
    assert (ended.has_passed, passed.has_passed) == (False, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("", None),
        ("soon", None),
        ("1e999x", None),
        ("1e999", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thu, 01 Jan 99999999999 00:00:10 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert seconds_until(text, now=lambda: 40.0) == seconds
