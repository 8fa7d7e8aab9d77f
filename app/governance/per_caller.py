"""Values that each caller has of its own, or shares with few others."""

import zlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class PerCaller(dict[str, T]):
    """Values by the name of a caller.

    Virtual keys are too many for values of their own. Each has one of `others`, by a hash of its name; processes agree.
    """

    def __init__(self, listed: Mapping[str, T], others: Sequence[T]) -> None:
        super().__init__(listed)
        self._others = others

    def __bool__(self) -> bool:
        return bool(self._others) or len(self) > 0

    def __contains__(self, name: object) -> bool:
        return bool(self._others) or super().__contains__(name)

    def get(self, name: str) -> T | None:  # type: ignore[override]
        """Return the value of a caller."""
        value = super().get(name)
        if value is None and self._others:
            return self._others[zlib.crc32(name.encode()) % len(self._others)]
        return value
