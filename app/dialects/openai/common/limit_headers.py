"""The headers that tell OpenAI's clients what is left of their limits.

Source: docs/reference/contracts/errors.md#retry-advice
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.holds.standing import StandingOf
    from app.storage.records import LimitKind


def _lines_of(name: str) -> tuple[str, str, str]:
    """Return the beginnings of lines: of a capacity, of what remains, and of when all of it is there again."""
    return f"x-ratelimit-limit-{name}: ", f"x-ratelimit-remaining-{name}: ", f"x-ratelimit-reset-{name}: "


_LINES: dict[LimitKind, tuple[str, str, str]] = {
    "requests_per_minute": _lines_of("requests"),
    "tokens_per_minute": _lines_of("tokens"),
}


def limit_headers(standing_of: StandingOf) -> list[str]:
    """Return the lines of an answer's headers."""
    lines: list[str] = []
    for kind, (limit, remaining, reset) in _LINES.items():
        if (standing := standing_of(kind)) is not None:
            whole_again = _duration(standing.seconds or 0.0)
            lines += [f"{limit}{standing.capacity}", f"{remaining}{standing.remaining}", reset + whole_again]
    return lines


def _duration(seconds: float) -> str:
    """Write a time as OpenAI does: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
