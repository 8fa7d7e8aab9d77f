import asyncio
import contextlib
import logging

import pytest

from app.observability.load import Load


def test_take_returns_mean_and_peak_since_the_last_call() -> None:
    now = 100.0
    load = Load(clock=lambda: now)
    load.begin()
    load.begin()
    now = 103.0
    load.end()
    now = 104.0
    assert load.take() == (7 / 4, 2)
    now = 108.0
    assert load.take() == (1.0, 1)
    load.end()
    assert load.take() == (0.0, 1)
    now = 109.0
    assert load.take() == (0.0, 0)


async def test_the_load_is_logged_at_the_interval(caplog: pytest.LogCaptureFixture) -> None:
    load = Load()
    load.begin()
    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(load.report(0.02))
        while len(caplog.records) < 2:
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert caplog.records[1].message == "load"
    assert caplog.records[1].fields == {"in_flight": 1.0, "in_flight_peak": 1}  # type: ignore[attr-defined]
