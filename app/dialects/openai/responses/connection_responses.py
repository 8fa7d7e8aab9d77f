"""Keeps the last response of a WebSocket, which its next message may continue although it was not stored."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from app.dialects.http.dialect_adapter import DialectAdapter
from app.storage.responses import MemoryResponses

# makes the adapter of a message: of its context, its document, and `connection`
AdapterOfMessage = Callable[..., Awaitable[DialectAdapter]]


class ConnectionResponses(Struct, frozen=True):
    """The last response of one WebSocket.

    memory: of all connections of a process; the caller that has most in it loses its oldest response first.
    connection: a name that no other connection has.
    """

    memory: MemoryResponses
    connection: str

    async def put(self, owner: str, entries: Mapping[str, bytes]) -> None:
        """Keep the entries of a response instead of those of the one before."""
        await self.delete(owner)
        await self.memory.put(
            owner, self.connection, {f"{self.connection}/{key}": each for key, each in entries.items()}
        )

    async def get(self, owner: str, key: str) -> bytes | None:
        """Return an entry, if there is one."""
        return await self.memory.get(owner, f"{self.connection}/{key}")

    async def delete(self, owner: str) -> None:
        """Forget the response."""
        await self.memory.delete(owner, self.connection)
