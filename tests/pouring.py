"""What is poured, for who would rather ask."""

from collections.abc import AsyncGenerator
from contextlib import closing
from typing import Any


async def pieces_of(poured: Any) -> AsyncGenerator[Any, None]:
    """Each piece in turn; the next is taken when it is asked for, and what poured them is closed at the end."""
    taken: list[Any] = []

    def take(piece: Any) -> bool:
        taken.append(piece)
        return False

    with closing(poured):
        while not await poured.pour(take):
            yield taken.pop()
