"""Small tools for asynchronous iterators."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

T = TypeVar("T")


async def started(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Wait for the first item of `source`, and return an iterator over that item and the rest.

    What `source` raises before its first item is raised here; an empty source gives an empty iterator.
    """
    try:
        first = await anext(source)
    except StopAsyncIteration:
        return source
    return _Started(first, source)


class _Started(AsyncGenerator[T, None]):
    """What has been taken of a generator already, and then the generator itself: nothing stands between."""

    def __init__(self, first: T, rest: AsyncGenerator[T, None]) -> None:
        self._taken = [first]
        self._rest = rest

    def __anext__(self) -> Any:
        return self._give() if self._taken else self._rest.__anext__()

    async def _give(self) -> T:
        return self._taken.pop()

    def asend(self, value: None) -> Any:
        """The next item: nothing can be sent to it."""
        del value
        return self.__anext__()

    def athrow(self, *error: Any) -> Any:
        """Raise something where the generator is."""
        self._taken.clear()
        return self._rest.athrow(*error)

    def aclose(self) -> Any:
        """End the generator, however far it has come."""
        self._taken.clear()
        return self._rest.aclose()
