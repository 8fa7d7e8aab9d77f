"""Limits the unverified requests of one client address to a part of the permits of the name that they claim.

Otherwise forged signatures with a known name would lock out the owner of the name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from app.governance.admission import Admission
from app.governance.identity.failed_attempts import network_of


class _Entry(Struct):
    admission: Admission
    users: int = 0


class AddressPermits:
    """Gives each pair of a client address and a claimed name a number of permits, and a queue for more requests.

    Args:
        limit: permits. max_waiting, timeout: those of `Admission`.
    """

    def __init__(self, limit: int, max_waiting: int = 0, timeout: float = 1.0) -> None:
        self._arguments = limit, max_waiting, timeout
        self._entries: dict[tuple[str, str], _Entry] = {}

    @asynccontextmanager
    async def permit(self, address: str, name: str) -> AsyncIterator[None]:
        """Hold a permit. Raises GatewayBusy: none is free, and none became free in time."""
        key = network_of(address), name
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(Admission(*self._arguments))
        entry.users += 1
        try:
            async with entry.admission.permit():
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
