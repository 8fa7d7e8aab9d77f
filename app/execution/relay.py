"""A streamed answer on its way from Bedrock to the caller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

from app.bedrock.transport import HttpResponse
from app.errors import GatewayError
from app.observability.observer import AttemptContext

_AFTER_THE_END = 0.5

T = TypeVar("T")
Batch_co = TypeVar("Batch_co", covariant=True)


class Reader(Protocol[Batch_co]):
    """Decodes the bytes of a stream, however they are split into reads."""

    @property
    def is_over(self) -> bool:
        """True once the answer is complete, though more bytes may follow."""
        ...

    def feed(self, data: bytes) -> Batch_co:
        """Return what the next bytes complete, or something empty. Raises GatewayError."""
        ...

    def finish(self) -> None:
        """Accept the end of the bytes. Raises GatewayError if the answer is incomplete."""
        ...


class Relay(Generic[T]):
    """A stream that delivers each chunk from within the read that brought it, which costs less than waking a task:
    docs/adr/0023-drive-streams-from-the-read.md.

    Its owner closes it; it also closes when nothing refers to it any more.

    Args:
        attempt: its `received` counts the bytes of the stream. Its `read_on` takes over the rest of a stream that its
            owner closes before its end, and returns False if that is to be discarded.
        on_end: called once, when the relay is closed; by default what the attempt has for the end of its stream.
    """

    def __init__(
        self,
        response: HttpResponse,
        reader: Reader[T],
        attempt: AttemptContext | None = None,
        on_end: Callable[[], object] | None = None,
    ) -> None:
        self._response = response
        self._reader = reader
        self._attempt = AttemptContext() if attempt is None else attempt
        self._on_end = on_end or partial(self._attempt.on_stream_end, self._attempt)
        self._read_on = self._attempt.read_on
        self._loop = asyncio.get_running_loop()
        self._first: T | None = None
        self._has_ended = self._is_closed = False

    async def begun(self) -> Self:
        """Wait for the first batch, and return the relay. Before it, failover may try another target.

        Raises:
            GatewayError: the stream broke, reported an error, or was empty.
        """

        def keep(data: bytes) -> bool:
            self._attempt.received += len(data)
            self._first = self._reader.feed(data) or None
            return self._first is None and not self._reader.is_over

        try:
            self._has_ended = await self._response.deliver(keep)
            if self._first is None:
                self._reader.finish()
        except BaseException as failure:
            self._attempt.has_broken = isinstance(failure, GatewayError)
            self._read_on = None
            self.close()
            raise
        return self

    async def deliver(self, take: Callable[[T], bool]) -> bool:
        """Pass each batch to `take` as it arrives.

        Returns:
            True at the end of the stream; False as soon as `take` returns False, and then the rest waits.

        Raises:
            GatewayError: the stream broke, reported an error, or ended too early. Also whatever `take` raises.
        """
        reader, attempt, is_wanted = self._reader, self._attempt, True

        def on_data(data: bytes) -> bool:
            nonlocal is_wanted
            attempt.received += len(data)
            if received := reader.feed(data):
                is_wanted = take(received)
            return is_wanted and not reader.is_over

        if self._first is not None:
            first, self._first = self._first, None
            if not take(first):
                return False
        try:
            if not self._has_ended and not reader.is_over:
                self._has_ended = await self._response.deliver(on_data)
                if not is_wanted:
                    return False
            if not self._has_ended:
                await self._let_end()
            reader.finish()
        except GatewayError:
            attempt.has_broken = True
            raise
        return True

    async def _let_end(self) -> None:
        # a connection whose response was read to its end can be used again; the answer does not depend on it
        self._has_ended = True
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(_AFTER_THE_END):
                await self._response.deliver(lambda _: True)

    def close(self) -> None:
        """Stop, and discard what has not been read, unless something else reads it. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            if self._read_on is None or self._has_ended or self._reader.is_over or not self._read_on(self._read_rest()):
                _end(self._on_end, self._response)

    async def _read_rest(self) -> None:
        """Read the stream to its end for what it reports, such as its tokens."""
        reader, attempt = self._reader, self._attempt

        def on_data(data: bytes) -> bool:
            attempt.received += len(data)
            reader.feed(data)
            return not reader.is_over

        try:
            # nobody gets the answer, and what was reported before a failure counts
            with contextlib.suppress(Exception):
                await self._response.deliver(on_data)
        finally:
            _end(self._on_end, self._response)

    def __del__(self) -> None:
        # runs in whichever thread collects garbage
        if not self._is_closed:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and all connections with it
                self._loop.call_soon_threadsafe(_end, self._on_end, self._response)


def _end(on_end: Callable[[], object], response: HttpResponse) -> None:
    on_end()
    response.close()
