import pytest

from app.process.deadline import Deadline, seconds_until


def test_deadline_counts_down() -> None:
    assert 4.5 < Deadline.after(5).remaining() <= 5
    assert Deadline.after(-1).remaining() < 0


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
