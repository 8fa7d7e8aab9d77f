"""What is made when it is first wanted, and then kept."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Calls `make` the first time it is called, and gives what came of it ever after; `functools.cache` for one request
    costs more than most of what it would keep.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []

    def __call__(self) -> T:
        """What was made."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]
