"""The headers that tell OpenAI's clients what is left of their limits.

Source: docs/reference/contracts/errors.md#retry-advice
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.governance.holds.standing import RawHeaders, Standing

# the names of headers by the kind of a limit: its capacity, what remains, and when all of it is there again
_NAMES = {
    kind: (
        f"x-ratelimit-limit-{name}".encode(),
        f"x-ratelimit-remaining-{name}".encode(),
        f"x-ratelimit-reset-{name}".encode(),
    )
    for kind, name in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens"))
}


def limit_headers(standings: Mapping[str, Standing]) -> RawHeaders:
    """Return the headers of an answer."""
    headers: RawHeaders = []
    for kind, (limit, remaining, reset) in _NAMES.items():
        if (standing := standings.get(kind)) is not None:
            headers += [
                (limit, b"%d" % standing.capacity),
                (remaining, b"%d" % standing.remaining),
                (reset, _duration(standing.seconds or 0.0).encode()),
            ]
    return headers


def _duration(seconds: float) -> str:
    """Write a time as OpenAI does: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
