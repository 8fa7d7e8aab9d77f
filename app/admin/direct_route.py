"""Routes that need nothing of FastAPI but their description, which is made for the OpenAPI page only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

Responses = Mapping[int | str, dict[str, Any]]


class DirectRoute(Route):
    """Serves GET and HEAD of a path.

    Args:
        endpoint: its docstring describes the route. summary: the OpenAPI page shows the route if it has one.
        responses: returns those that the page shows, by status.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        summary: str = "",
        responses: Callable[[], Responses] = dict,
    ) -> None:
        super().__init__(path, endpoint, methods=["GET"])
        self._summary = summary
        self._responses = responses

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, matched = super().matches(scope)
        # for the log and metrics
        matched["route"] = self
        return match, matched

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The route of FastAPI that describes this one; empty if the OpenAPI page does not show it."""
        if not self._summary:
            return []
        return [
            APIRoute(
                self.path,
                self.endpoint,
                methods=["GET"],
                tags=["Operations"],
                summary=self._summary,
                responses={**self._responses()},
                response_model=None,
                response_class=Response,
            )
        ]
