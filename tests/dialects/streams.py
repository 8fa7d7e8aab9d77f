"""What a translator of a stream makes of several events, or documents, one after the other."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def joined(translate: Callable[[Item], bytes], items: Iterable[Item]) -> bytes:
    """All its frames."""
    return b"".join(map(translate, items))
