"""Values that each caller has of its own, or shares with few others."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

_MAX_NAMES = 4096


class PerCaller(dict[str, T]):
    """Values by the name of a caller.

    Virtual keys are too many for values of their own. Each has one of `others`, by a hash of its name; processes agree.

    get: returns the value of a caller. Requests ask for it several times, so it is remembered.
    """

    get: Callable[[str], T | None]  # type: ignore[assignment]

    def __init__(self, listed: Mapping[str, T], others: Sequence[T]) -> None:
        super().__init__(listed)
        self._others = others
        self.get = lru_cache(_MAX_NAMES)(self._find)

    def __bool__(self) -> bool:
        return bool(self._others) or len(self) > 0

    def __contains__(self, name: object) -> bool:
        return bool(self._others) or super().__contains__(name)

    def _find(self, name: str) -> T | None:
        value = super().get(name)
        if value is None and self._others:
            return self._others[zlib.crc32(name.encode()) % len(self._others)]
        return value
