"""Where answers are kept that a caller may refer to later. A port, and the memory of one process behind it."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

_LARGEST_SHARE = 8


class ResponseStore(Protocol):
    """Keeps entries, as bytes, by owner and key, for a while. What another owner stored is not there.

    Entries come and go in groups, each whole or not at all. Each operation raises `Overloaded` where it cannot be done
    now; it is then not done later.
    """

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        """Keep a group; False if it is too large for that."""

    async def get(self, owner: str, key: str) -> bytes | None:
        """An entry, if it is there."""

    async def delete(self, owner: str, group: str) -> bool:
        """Forget a group; False if it was not there."""

    def close(self) -> None:
        """Let go of what is held."""


class _Group(NamedTuple):
    until: float
    size: int
    entries: Mapping[str, bytes]


class MemoryResponses:
    """Keeps the newest groups of one process. Where there is too much, whoever has most loses the oldest.

    Args:
        lifetime: seconds. most_bytes: of all groups together; one may have an eighth of it. clock: seconds that never
            go back.
    """

    def __init__(
        self, lifetime: float, max_bytes: int = 64_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = lifetime
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes: Counter[str] = Counter()
        self._groups: dict[str, OrderedDict[str, _Group]] = {}
        self._entries: dict[tuple[str, str], tuple[str, bytes]] = {}

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        """Keep a group; False if it is too large for that."""
        size = sum(map(len, entries.values()))
        if size > self._max_bytes / _LARGEST_SHARE:
            return False
        self._drop(owner, group)
        self._drop_old()
        while self._bytes.total() + size > self._max_bytes:
            ((largest, _),) = self._bytes.most_common(1)
            self._drop(largest, next(iter(self._groups[largest])))
        self._groups.setdefault(owner, OrderedDict())[group] = _Group(self._clock() + self._lifetime, size, entries)
        self._bytes[owner] += size
        self._entries.update({(owner, key): (group, entry) for key, entry in entries.items()})
        return True

    async def get(self, owner: str, key: str) -> bytes | None:
        """An entry, if it is there and not too old."""
        self._drop_old()
        return self._entries.get((owner, key), (None, None))[1]

    async def delete(self, owner: str, group: str) -> bool:
        """Forget a group; False if it was not there."""
        self._drop_old()
        return self._drop(owner, group)

    def close(self) -> None:
        """Forget everything."""
        for kept in (self._groups, self._bytes, self._entries):
            kept.clear()

    def _drop_old(self) -> None:
        now = self._clock()
        for owner, groups in self._groups.items():
            while groups and next(iter(groups.values())).until <= now:
                self._drop(owner, next(iter(groups)))

    def _drop(self, owner: str, group: str) -> bool:
        dropped = self._groups.get(owner, OrderedDict()).pop(group, None)
        if dropped is None:
            return False
        self._bytes[owner] -= dropped.size
        for key in dropped.entries:
            # a later group may have an entry of the same key
            if self._entries.get((owner, key), ("", b""))[0] == group:
                del self._entries[owner, key]
        return True
