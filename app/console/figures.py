"""Filters of the templates: figures and times, with what scripts need to write them as the reader's locale does."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from markupsafe import Markup

NANO = 1_000_000_000
_UNKNOWN = Markup('<span class="unknown" title="Not known">&ndash;</span>')
_DATA = Markup('<data value="{}" data-as="{}">{}</data>')
_SHORT = Markup('<data value="{0}" data-as="compact" title="{0}">{1}</data>')
_MOMENT = Markup('<time datetime="{}">{}</time>')
# instead of what is not there
NOTHING = "\u2013"


def count(value: float | None) -> Markup:
    """Return a whole number."""
    return _UNKNOWN if value is None else _DATA.format(int(value), "count", f"{int(value):,}")


def compact(value: float) -> Markup:
    """Return a whole number, a large one in short."""
    short = f"{value / 1e6:,.1f}M" if value >= 1e6 else f"{value / 1e3:,.1f}K" if value >= 1e5 else f"{value:,}"
    return _SHORT.format(int(value), short)


def money(nano: int | None) -> Markup:
    """Return dollars, of nano-dollars. Small amounts keep two digits that are not 0."""
    if nano is None:
        return _UNKNOWN
    dollars = Decimal(nano) / NANO
    return _DATA.format(f"{dollars.normalize():f}", "usd", dollars_text(nano))


def dollars_text(nano: int) -> str:
    """Return an amount as text without scripts writes it."""
    dollars = Decimal(nano) / NANO
    size = abs(dollars)
    digits = 2 if size >= 1 or not nano else 4 if size >= Decimal("0.01") else 6
    return f"${dollars:,.{digits}f}"


def percent(share: float | None) -> Markup:
    """Return a share of 1 as per cent."""
    return _UNKNOWN if share is None else _DATA.format(f"{share:.6g}", "percent", f"{share:.1%}")


def milliseconds(value: float | None) -> Markup:
    """Return a duration."""
    return _UNKNOWN if value is None else _DATA.format(f"{value:.6g}", "ms", f"{value:,.0f} ms")


def moment(value: datetime | None, empty: str = NOTHING) -> Markup:
    """Return a time."""
    if value is None:
        return Markup('<span class="unknown">{}</span>').format(empty)
    at = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return _MOMENT.format(at.isoformat(), f"{at:%d %b %Y %H:%M} UTC")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "compact": compact,
    "count": count,
    "milliseconds": milliseconds,
    "moment": moment,
    "money": money,
    "percent": percent,
}
