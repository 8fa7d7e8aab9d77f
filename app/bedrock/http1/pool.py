"""Connections that idle, by origin: the one used last is used next, and those that idle too long are closed."""

import asyncio
from collections import defaultdict

from app.bedrock.http1.connection import Connection
from app.bedrock.http1.dial import Origin

_IDLE_SECONDS = 30.0
_MAX_IDLE = 512


class Pool:
    """Keeps idle connections."""

    def __init__(self) -> None:
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """An open connection that is the taker's until it is put back, or nothing."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_open:
                return connection
        return None

    def put(self, origin: Origin, connection: Connection) -> None:
        """Take a connection back."""
        idle = self._idle[origin]
        if self._is_closed or len(idle) >= _MAX_IDLE:
            connection.close()
            return
        idle.append(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._sweep)

    def close(self) -> None:
        """Close every idle connection, and all that come back."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_SECONDS
        for idle in self._idle.values():
            for connection in idle:
                if connection.is_open and connection.idle_since <= oldest:
                    connection.close()
            idle[:] = [connection for connection in idle if connection.is_open]
        for origin in [origin for origin, idle in self._idle.items() if not idle]:
            del self._idle[origin]
        is_any = bool(self._idle)
        self._sweeping = loop.call_later(_IDLE_SECONDS / 2, self._sweep) if is_any else None
