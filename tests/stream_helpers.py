"""Helpers for tests that read streams."""

from collections.abc import AsyncGenerator
from contextlib import closing
from typing import Any


async def pieces_of(relay: Any) -> AsyncGenerator[Any, None]:
    """Iterate over the pieces of a relayed stream: read each piece only when it is needed, and close the stream at the end."""
    taken: list[Any] = []

    def take(piece: Any) -> bool:
        taken.append(piece)
        return False

    with closing(relay):
        while not await relay.deliver(take):
            yield taken.pop()
