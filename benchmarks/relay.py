"""A byte-for-byte proxy with one upstream connection for each connection of a caller.

Its cost is that of the event loop and the kernel: the lower bound for a gateway built on them. Run it as a process:
`python -m benchmarks.relay PORT UPSTREAM`.
"""

import asyncio
import sys
from typing import cast

import uvloop


class End(asyncio.Protocol):
    """One of two joined connections. Bytes that arrive before the other one is open are kept."""

    def __init__(self) -> None:
        self.other: asyncio.Transport | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def join(self, other: asyncio.Transport) -> None:
        """Set the other connection, and send it the bytes that arrived before."""
        self.other = other
        other.writelines(self._waiting)

    def data_received(self, data: bytes) -> None:
        """Send bytes to the other connection, or keep them."""
        if self.other is None:
            self._waiting.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other connection."""
        del exc
        if self.other is not None:
            self.other.close()


async def serve(port: int, upstream: int) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(caller: End) -> None:
        transport, far = await loop.create_connection(End, "127.0.0.1", upstream)
        if caller.transport.is_closing():
            transport.close()
            return
        far.join(caller.transport)
        caller.join(transport)

    class Caller(End):
        """A connection of a caller."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(join(self))
            joining.add(task)
            task.add_done_callback(joining.discard)

    server = await loop.create_server(Caller, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
