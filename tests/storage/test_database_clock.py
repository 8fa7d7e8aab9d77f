"""The time of the database as a process knows it."""

from datetime import UTC, datetime

from app.storage.database_clock import DatabaseClock


def test_it_follows_the_database_and_no_clock_that_is_set() -> None:
    at = 1000.0
    clock = DatabaseClock(monotonic=lambda: at, wall=lambda: 5_000.0)
    assert clock.seconds() == 5_000.0, "nobody was asked yet"
    clock.note(90_000_000_000)
    assert clock.now() == datetime.fromtimestamp(90_000, UTC)
    at += 12.5
    assert clock.seconds() == 90_012.5
    assert clock.now() == datetime.fromtimestamp(90_012.5, UTC)
