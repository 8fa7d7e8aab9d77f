"""A bounded cache of what is computed from a short text."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MAX_KEY_LENGTH = 512


class _BoundedCache(dict[str, T]):
    """Computes what is missing. Callers choose the keys, so long ones are not kept, and a full cache is emptied."""

    __slots__ = ("_compute", "_limit")

    def __init__(self, compute: Callable[[str], T], limit: int) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit

    def __missing__(self, key: str) -> T:
        value = self._compute(key)
        if len(key) <= _MAX_KEY_LENGTH:
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value


def bounded_cache(limit: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Cache a function's results for at most `limit` texts, each of at most 512 characters."""

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        return _BoundedCache(function, limit).__getitem__

    return decorate
