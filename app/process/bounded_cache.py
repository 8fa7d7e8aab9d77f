"""What was worked out of a short text, kept: callers choose many texts, and long ones of theirs are not kept."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

_LONGEST = 512


def remembered(limit: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Keep what a function makes of the texts that it was asked for last, up to so many of at most 512 letters."""

    def around(function: Callable[[str], T]) -> Callable[[str], T]:
        kept = lru_cache(limit)(function)

        @wraps(function)
        def called(text: str) -> T:
            return kept(text) if len(text) <= _LONGEST else function(text)

        return called

    return around
