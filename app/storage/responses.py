"""Stores responses that a caller may refer to later: the protocol, and the store in memory."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

# no group may have more than this part of the room
_MAX_GROUP_SHARE = 1 / 8


class ResponseStore(Protocol):
    """Stores entries, as bytes, by owner and key, for a limited time. An owner sees only its own entries.

    A group of entries is stored and deleted as one. Each operation raises `Overloaded` if it cannot be done now; it is
    not done later then.
    """

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes], reserve: int = 0) -> bool:
        """Store a group, instead of the group of that name. Returns False if it is too large; that group stays then.

        Args:
            reserve: bytes to hold for the group that is to replace this one. Groups with a
                reserve are not dropped while there are others.
        """

    async def get(self, owner: str, key: str) -> bytes | None:
        """Return an entry, if there is one."""

    async def delete(self, owner: str, group: str) -> bool:
        """Delete a group. Returns False if there was none."""

    def close(self) -> None:
        """Release all resources."""


class _Group(NamedTuple):
    """size: with its reserve."""

    expires_at: float
    size: int
    reserve: int
    entries: Mapping[str, bytes]


class MemoryResponses:
    """Stores groups in the memory of one process. When it is full, the largest owner's oldest group is dropped.

    Groups with a reserve are dropped only if there are no others.

    Args:
        lifetime: seconds. max_bytes: of all groups together; one may have an eighth of it. clock: a monotonic clock, in
            seconds.
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

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes], reserve: int = 0) -> bool:
        """Store a group, instead of the group of that name. Returns False if it is too large; that group stays then."""
        size = sum(map(len, entries.values())) + reserve
        if size > self._max_bytes * _MAX_GROUP_SHARE:
            return False
        self._drop_expired()
        self._drop(owner, group)
        while self._bytes.total() + size > self._max_bytes:
            self._drop(*self._oldest_of_largest())
        until = self._clock() + self._lifetime
        self._groups.setdefault(owner, OrderedDict())[group] = _Group(until, size, reserve, entries)
        self._bytes[owner] += size
        self._entries.update({(owner, key): (group, entry) for key, entry in entries.items()})
        return True

    async def get(self, owner: str, key: str) -> bytes | None:
        """Return an entry, if there is one that has not expired."""
        self._drop_expired()
        return self._entries.get((owner, key), (None, None))[1]

    async def delete(self, owner: str, group: str) -> bool:
        """Delete a group. Returns False if there was none."""
        self._drop_expired()
        return self._drop(owner, group)

    def close(self) -> None:
        """Drop everything."""
        for kept in (self._groups, self._bytes, self._entries):
            kept.clear()

    def _drop_expired(self) -> None:
        now = self._clock()
        for owner, groups in self._groups.items():
            while groups and next(iter(groups.values())).expires_at <= now:
                self._drop(owner, next(iter(groups)))

    def _oldest_of_largest(self) -> tuple[str, str]:
        """Return the owner and the name of the group to drop next."""
        owners = [owner for owner, _ in self._bytes.most_common() if self._groups.get(owner)]
        for owner in owners:
            for name, group in self._groups[owner].items():
                if not group.reserve:
                    return owner, name
        return owners[0], next(iter(self._groups[owners[0]]))

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
