"""Routes of FastAPI that are made when the first of their paths is requested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache

from fastapi import APIRouter
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send


class LazyRoutes(BaseRoute):
    """Serves the paths below some prefixes, by routers that are made in a thread: that takes some tenths of a second.

    Args:
        make: returns the routers.
    """

    def __init__(self, prefixes: Sequence[str], make: Callable[[], Sequence[APIRouter]]) -> None:
        self._prefixes = tuple(prefixes)
        self._make = make
        self._router = cache(self._make_router)
        self._making: asyncio.Task[APIRouter] | None = None

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """All routes; makes them if they are not made yet."""
        return self._router().routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path: str = scope["path"]
        is_below = any(path == prefix or path.startswith(f"{prefix}/") for prefix in self._prefixes)
        return (Match.FULL if is_below and scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._router))
        # the first caller may leave, and others wait for the same
        router = await asyncio.shield(self._making)
        await router(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    def _make_router(self) -> APIRouter:
        router = APIRouter(redirect_slashes=False)
        for each in self._make():
            router.include_router(each)
        return router
