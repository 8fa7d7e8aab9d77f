"""The response to one request, filled by its connection as bytes arrive."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from app.bedrock.transport import MAX_BYTES, Headers
from app.errors import ConnectionLost, GatewayError, UpstreamFailed

_BUFFER_BYTES = 64 * 1024


class StaleConnection(ConnectionLost):
    """A reused connection ended before it received anything."""


class Source(Protocol):
    """The connection that fills a response."""

    def pause_reading(self) -> None:
        """Read no more from the socket."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Http1Response(Struct):
    """A response. See `HttpResponse`.

    head: done once the source has set `status` and `headers`; who awaits it closes the response if that fails.
    The source then calls `pass_on`, or `put` and `wake`, and in the end `complete` or `fail`. A reader
    gets all bytes that arrived before it gets the error.
    """

    _source: Source | None
    head: asyncio.Future[None]
    status: int = 0
    headers: Headers = ()
    _pieces: list[bytes] = []
    _buffered_bytes: int = 0
    _limit: int = _BUFFER_BYTES
    _is_complete: bool = False
    _error: GatewayError | None = None
    _waiter: asyncio.Future[bool] | None = None
    _take: Callable[[bytes], bool] | None = None

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        """Read the whole body, of at most `limit` bytes."""
        if self._buffered_bytes > self._limit and self._source is not None:
            self._source.resume_reading()
        self._limit = limit
        while not self._is_complete and self._buffered_bytes <= limit:
            await self._wait()
        if self._buffered_bytes > limit:
            self.close()
            raise UpstreamFailed("Bedrock's response is too large", detail=f"more than {limit} bytes")
        return self._empty_buffer()

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        """Call `take` with the body as it arrives. Without a reader, at most a buffer of the body is read."""
        while self._pieces or not self._is_complete:
            if self._pieces:
                is_wanted = take(self._empty_buffer())
            else:
                self._take = take
                try:
                    is_wanted = await self._wait()
                finally:
                    self._take = None
            if not is_wanted:
                return False
        return True

    def close(self) -> None:
        """Abort the connection, unless the body was read to its end."""
        source, self._source = self._source, None
        if source is not None:
            source.abort()
            self.fail(ConnectionLost("the response was closed"))

    async def _wait(self) -> bool:
        """Wait for more bytes; within `deliver`, until the body ends (True) or `take` returns False."""
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _empty_buffer(self) -> bytes:
        if self._buffered_bytes > self._limit and self._source is not None:
            self._source.resume_reading()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._buffered_bytes = 0
        return data

    # called by the source

    def pass_on(self, pieces: list[bytes]) -> None:
        """Give pieces of the body to the reader that waits in `deliver`, or buffer them."""
        waiter = self._waiter
        if self._take is None or waiter is None or waiter.done() or self._pieces:
            self.put(pieces)
            self.wake()
            return
        try:
            is_wanted = self._take(b"".join(pieces))
        except Exception as error:  # noqa: BLE001 -- it is raised in `deliver`
            waiter.set_exception(error)
            del waiter  # the error references this frame, which would reference the error
            return
        if not is_wanted:
            waiter.set_result(False)

    def put(self, pieces: list[bytes]) -> None:
        """Buffer pieces of the body; pause the source when the buffer is full."""
        self._pieces += pieces
        before, self._buffered_bytes = self._buffered_bytes, self._buffered_bytes + sum(map(len, pieces))
        if self._buffered_bytes > self._limit >= before and self._source is not None:
            self._source.pause_reading()

    def complete(self, pieces: Sequence[bytes] = ()) -> None:
        """Buffer the last pieces of the body, and note that it has ended."""
        self._pieces += pieces
        self._buffered_bytes += sum(map(len, pieces))
        self._is_complete, self._source = True, None
        self.wake()

    def fail(self, error: GatewayError) -> None:
        """Note that the body broke off."""
        self._error, self._source = error, None
        if not self.head.done():
            self.head.set_exception(error)
        self.wake()

    def wake(self) -> None:
        """Deliver what has arrived, or wake the reader."""
        waiter, is_wanted = self._waiter, True
        if waiter is None or waiter.done():
            return
        if self._take is not None and self._pieces:
            try:
                is_wanted = self._take(self._empty_buffer())
            except Exception as error:  # noqa: BLE001 -- it is raised in `deliver`
                waiter.set_exception(error)
                del waiter  # the error references this frame, which would reference the error
                return
        if self._take is None or not is_wanted or self._is_complete or self._error is not None:
            waiter.set_result(is_wanted)
