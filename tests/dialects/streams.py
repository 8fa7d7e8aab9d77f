"""Applies a stream translator to several events."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def joined(translate: Callable[[Item], bytes], items: Iterable[Item]) -> bytes:
    """Return the frames of all items."""
    return b"".join(map(translate, items))
