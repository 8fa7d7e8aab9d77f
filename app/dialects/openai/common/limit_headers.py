"""The headers that tell OpenAI's clients what is left of their limits.

Source: docs/reference/contracts/errors.md#retry-advice
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.dialects.http.responses import Headers

if TYPE_CHECKING:
    from app.governance.holds.standing import Standing

_PREFIX = "x-ratelimit-"
_NAMES = {"requests_per_minute": "requests", "tokens_per_minute": "tokens"}


def limit_headers(standings: Mapping[str, Standing]) -> Headers:
    """Return the headers of an answer."""
    headers: list[tuple[str, str]] = []
    for kind, name in _NAMES.items():
        if (standing := standings.get(kind)) is not None:
            headers += [
                (f"{_PREFIX}limit-{name}", str(standing.capacity)),
                (f"{_PREFIX}remaining-{name}", str(standing.remaining)),
                (f"{_PREFIX}reset-{name}", _duration(standing.seconds or 0.0)),
            ]
    return tuple(headers)


def _duration(seconds: float) -> str:
    """Write a time as OpenAI does: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
