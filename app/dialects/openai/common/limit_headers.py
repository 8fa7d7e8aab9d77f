"""The headers that tell OpenAI's clients what is left of their limits.

Source: docs/reference/contracts/errors.md#retry-advice
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.holds.standing import Headers, Standing

# the names of headers by the kind of a limit: its capacity, what remains, and when all of it is there again
_NAMES = {
    kind: (
        f"x-ratelimit-limit-{name}",
        f"x-ratelimit-remaining-{name}",
        f"x-ratelimit-reset-{name}",
    )
    for kind, name in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens"))
}


def limit_headers(standings: Mapping[str, Standing]) -> Headers:
    """Return the headers of an answer."""
    headers: Headers = []
    for kind, (limit, remaining, reset) in _NAMES.items():
        if (standing := standings.get(kind)) is not None:
            headers += [
                (limit, str(standing.capacity)),
                (remaining, str(standing.remaining)),
                (reset, _duration(standing.seconds or 0.0)),
            ]
    return headers


def _duration(seconds: float) -> str:
    """Write a time as OpenAI does: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
