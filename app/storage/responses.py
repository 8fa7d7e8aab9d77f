"""Where answers are kept that a caller may refer to later. A port, and the memory of one process behind it."""

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Protocol

_LARGEST_SHARE = 8


class ResponseStore(Protocol):
    """Keeps answers, as bytes, by owner and id, for a while. What another owner stored is not there.

    Each operation raises `Overloaded` where it cannot be done now.
    """

    async def put(self, owner: str, response_id: str, stored: bytes) -> bool:
        """Keep an answer; False if it is too large for that."""

    async def get(self, owner: str, response_id: str) -> bytes | None:
        """An answer, if it is there."""

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forget an answer; False if it was not there."""

    def close(self) -> None:
        """Let go of what is held."""


class MemoryResponses:
    """Keeps the newest answers of one process. Where there is too much, whoever has most loses the oldest.

    Args:
        lifetime: seconds. most_bytes: of all answers together; one may have an eighth of it. clock: seconds that
            never go back.
    """

    def __init__(
        self, lifetime: float, most_bytes: int = 64_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = lifetime
        self._most_bytes = most_bytes
        self._clock = clock
        self._bytes: Counter[str] = Counter()
        self._kept: defaultdict[str, OrderedDict[str, tuple[float, bytes]]] = defaultdict(OrderedDict)

    async def put(self, owner: str, response_id: str, stored: bytes) -> bool:
        """Keep an answer; False if it is too large for that."""
        if len(stored) > self._most_bytes / _LARGEST_SHARE:
            return False
        self._drop(owner, response_id)
        self._drop_old()
        self._kept[owner][response_id] = (self._clock() + self._lifetime, stored)
        self._bytes[owner] += len(stored)
        while self._bytes.total() > self._most_bytes:
            ((largest, _),) = self._bytes.most_common(1)
            self._drop(largest, next(iter(self._kept[largest])))
        return True

    async def get(self, owner: str, response_id: str) -> bytes | None:
        """An answer, if it is there and not too old."""
        self._drop_old()
        _, stored = self._kept[owner].get(response_id, (0.0, None))
        return stored

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forget an answer; False if it was not there."""
        self._drop_old()
        return self._drop(owner, response_id)

    def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes.clear()

    def _drop_old(self) -> None:
        now = self._clock()
        for owner, kept in self._kept.items():
            while kept and next(iter(kept.values()))[0] <= now:
                self._drop(owner, next(iter(kept)))

    def _drop(self, owner: str, response_id: str) -> bool:
        until, stored = self._kept[owner].pop(response_id, (0.0, b""))
        self._bytes[owner] -= len(stored)
        return until > 0
