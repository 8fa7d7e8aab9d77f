"""The routes of the console, which load it at the first request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.console.parts import PREFIX, ConsoleParts


class _LazyConsole:
    """Loads the console in a thread, because its libraries take some tens of milliseconds to import."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts
        self._console: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._console is None:
            self._console = asyncio.create_task(asyncio.to_thread(_load, self._parts))
        # the first visitor may leave, and others wait for the same
        console = await asyncio.shield(self._console)
        await console(scope, receive, send)


def _load(parts: ConsoleParts) -> ASGIApp:
    from app.console.application import make_console

    return make_console(parts)


def console_routes(parts: ConsoleParts) -> Sequence[BaseRoute]:
    """Return the routes, to be added to the application."""
    console = _LazyConsole(parts)
    # without methods: the console refuses those that a page does not take
    return [Route(path, console, include_in_schema=False) for path in (PREFIX, PREFIX + "/{page:path}")]
