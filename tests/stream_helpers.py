"""Helpers for tests that read streams."""

from collections.abc import AsyncGenerator
from contextlib import closing
from typing import Any


async def pieces_of(poured: Any) -> AsyncGenerator[Any, None]:
    """Iterate over the pieces of a stream; the next one is read when it is asked for, and the stream is closed at the end."""
    taken: list[Any] = []

    def take(piece: Any) -> bool:
        taken.append(piece)
        return False

    with closing(poured):
        while not await poured.deliver(take):
            yield taken.pop()
