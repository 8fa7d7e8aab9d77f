"""The connection of a request whose server offers nothing but the events of ASGI."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive


class EventConnection:
    """Is a `CallerConnection` by `receive` alone: the body and the response are events, as a disconnect is.

    write_piece: None. flow: this, and never paused, as the server makes `send` wait.
    """

    write_piece = None
    write_paused = False

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None

    @property
    def flow(self) -> "EventConnection":
        return self

    async def drain(self) -> None:
        """Return: nothing waits here."""

    def pause_reading(self) -> None:
        """Do nothing: the server does."""

    def resume_reading(self) -> None:
        """Do nothing: the server does."""

    def take_body(self) -> bytes | None:
        """Return None: the body is received as events."""
        return None

    def set_disconnect_callback(self, callback: Callable[[], None] | None) -> None:
        """Call a function when the caller disconnects; None ends that. The body has been received before."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._watcher = None if callback is None else asyncio.create_task(self._watch(callback))

    async def _watch(self, callback: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        callback()

    def cut(self) -> None:
        """Do nothing: the server closes the connection of a response that is incomplete."""

    def abort(self) -> None:
        """Do nothing: the server closes the connection of a response that is incomplete."""
