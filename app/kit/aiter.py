"""Small tools for asynchronous iterators."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def started(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Wait for the first item of `source`, and return an iterator over that item and the rest.

    What `source` raises before its first item is raised here; an empty source gives an empty iterator.
    """
    try:
        first = await anext(source)
    except StopAsyncIteration:
        return _nothing()
    return _resume(first, source)


async def _nothing() -> AsyncGenerator[T, None]:
    return
    yield


async def _resume(first: T, rest: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    async with aclosing(rest):
        yield first
        async for item in rest:
            yield item
