"""The ranges of time that pages offer."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

from app.console.visit import Visit


class Range(Struct, frozen=True):
    """A time until now, in whole hours or days. interval: of the points of its charts."""

    name: str
    label: str
    span: timedelta
    interval: Literal["hour", "day"]

    @property
    def since(self) -> datetime:
        """The beginning."""
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - self.span
        return start + timedelta(hours=1) if self.interval == "hour" else start.replace(hour=0) + timedelta(days=1)

    @property
    def starts(self) -> list[datetime]:
        """The beginnings of all intervals, those without usage included."""
        step = timedelta(hours=1) if self.interval == "hour" else timedelta(days=1)
        since = self.since
        return [since + step * index for index in range(self.span // step)]


RANGES = {
    each.name: each
    for each in (
        Range("24h", "Last 24 hours", timedelta(hours=24), "hour"),
        Range("7d", "Last 7 days", timedelta(days=7), "day"),
        Range("30d", "Last 30 days", timedelta(days=30), "day"),
        Range("90d", "Last 90 days", timedelta(days=90), "day"),
    )
}
CHOICES = [(each.name, each.label) for each in RANGES.values()]


def range_of(visit: Visit, default: str = "24h") -> Range:
    """Return the range that the query names."""
    return RANGES.get(visit.query("range", default), RANGES[default])
