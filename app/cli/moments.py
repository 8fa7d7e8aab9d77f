"""Points in time as arguments."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import click


class Moment(click.ParamType[datetime]):
    """A day or a time in UTC: `2026-11-30`, `2026-11-30T12:00Z`, `today` or `yesterday`."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time, at the beginning of a day."""
        if isinstance(value, datetime):
            return value
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        text = str(value)
        if text in ("today", "yesterday"):
            return today - timedelta(days=text == "yesterday")
        try:
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time: write 2026-11-30, 2026-11-30T12:00Z, today or yesterday", param, ctx)


class MomentOrNone(click.ParamType[datetime | Literal["none"]]):
    """As `Moment`, or `none`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | Literal["none"]:
        """Return the time, or `none`."""
        return "none" if value == "none" else Moment().convert(value, param, ctx)
