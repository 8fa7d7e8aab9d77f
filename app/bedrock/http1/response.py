"""The answer to one request, filled by its connection as bytes arrive."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from app.bedrock.transport import MAX_BYTES, Headers
from app.errors import ConnectionLost, GatewayError, UpstreamFailed

_HELD_BYTES = 64 * 1024


class StaleConnection(ConnectionLost):
    """A connection that had idled ended as soon as it was used again, with nothing received."""


class Source(Protocol):
    """What fills a response."""

    def hold(self, *, is_held: bool) -> None:
        """Stop reading, or go on."""
        ...

    def abort(self) -> None:
        """Close without ceremony."""
        ...


class Http1Response:
    """An answer. See `HttpResponse`.

    Its source calls what stands under "filling", then `wake`; a reader sees everything that arrived, then the error.
    """

    __slots__ = (
        "_error",
        "_held",
        "_is_complete",
        "_limit",
        "_pieces",
        "_source",
        "_take_now",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, source: Source) -> None:
        self.status = 0
        self.headers: Headers = ()
        self._source: Source | None = source
        self._pieces: list[bytes] = []
        self._held = 0
        self._limit = _HELD_BYTES
        self._is_complete = False
        self._error: GatewayError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._take_now: Callable[[bytes], bool] | None = None

    async def head(self) -> None:
        """Wait for status and headers; whoever is cancelled meanwhile leaves no connection behind."""
        try:
            while not self.status:
                await self._more()
        except BaseException:
            self.close()
            raise

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        """The whole body, of so many bytes at the most."""
        self._let_go()
        self._limit = limit
        while not self._is_complete and self._held <= limit:
            await self._more()
        if self._held > limit:
            self.close()
            raise UpstreamFailed("Bedrock's answer is too large", detail=f"more than {limit} bytes")
        return self._take()

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        """Give the body to `take` as it arrives; while nobody takes it, no more than a buffer of it is read."""
        while self._pieces or not self._is_complete:
            if self._pieces:
                self._let_go()
                is_wanted = take(self._take())
            else:
                is_wanted = await self._given(take)
            if not is_wanted:
                return False
        return True

    def close(self) -> None:
        """Give the connection up unless the body was read to its end."""
        source, self._source = self._source, None
        if source is not None:
            source.abort()
            self.fail(ConnectionLost("the answer was given up"))

    async def _more(self) -> bool:
        """Wait until there is more, or, while it is poured, until whoever takes it has had enough: then it is False."""
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    async def _given(self, take: Callable[[bytes], bool]) -> bool:
        self._take_now = take
        try:
            return await self._more()
        finally:
            self._take_now = None

    def _take(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        return data

    def _let_go(self) -> None:
        if self._held > self._limit and self._source is not None:
            self._source.hold(is_held=False)

    # filling

    def put_head(self, status: int, headers: Headers) -> None:
        """Take status and headers."""
        self.status, self.headers = status, headers

    def put(self, data: bytes) -> None:
        """Take a piece of the body, and hold the source where nobody reads it."""
        self._pieces.append(data)
        before, self._held = self._held, self._held + len(data)
        if self._held > self._limit >= before and self._source is not None:
            self._source.hold(is_held=True)

    def complete(self) -> None:
        """The body has ended as it should."""
        self._is_complete, self._source = True, None
        self.wake()

    def fail(self, error: GatewayError) -> None:
        """The body has ended as it should not."""
        self._error, self._source = error, None
        self.wake()

    def wake(self) -> None:
        """Give what has arrived to whoever takes it, or let the reader look."""
        waiter, is_wanted = self._waiter, True
        if waiter is None or waiter.done():
            return
        if self._take_now is not None and self._pieces:
            self._let_go()
            try:
                is_wanted = self._take_now(self._take())
            except Exception as error:  # noqa: BLE001 -- it is raised where the body is waited for
                waiter.set_exception(error)
                del waiter  # the error holds this frame, which would hold it
                return
        if self._take_now is None or not is_wanted or self._is_complete or self._error is not None:
            waiter.set_result(is_wanted)
