"""Finds endpoints by their paths without asking one route after the other, which costs a tenth of a request."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route

from app.dialects.http.endpoint import Endpoint


def set_allowed_methods(routes: Iterable[BaseRoute]) -> None:
    """Tell each door which methods its path takes, those of its other doors included: a refusal names them all."""
    found = [route for route in routes if isinstance(route, Route)]
    methods: dict[str, set[str]] = {}
    for route in found:
        methods.setdefault(route.path, set()).update(route.methods or ())
    for route in found:
        if isinstance(route, Endpoint):
            route.allowed = methods[route.path]


class RouteTable:
    """Finds the doors that the router would find, wherever a path leaves no doubt; what it does not find may exist.

    Those whose path is fixed, and those with one parameter between two fixed segments, as `/model/{modelId}/converse`.
    """

    def __init__(self, routes: Iterable[BaseRoute] = ()) -> None:
        found = [route for route in routes if isinstance(route, Route)]
        times = Counter(route.path for route in found)
        self._fixed: dict[str, Endpoint] = {}
        self._between: dict[tuple[str, str], tuple[Endpoint, str]] = {}
        for endpoint in found:
            if not isinstance(endpoint, Endpoint) or times[endpoint.path] > 1:
                continue
            match endpoint.path_format.split("/"):
                case ["", first, middle, last] if middle.startswith("{") and "{" not in first + last:
                    self._between[first, last] = endpoint, middle.strip("{}")
                case _ if "{" not in endpoint.path:
                    self._fixed[endpoint.path] = endpoint

    def find(self, path: str) -> tuple[Endpoint, dict[str, Any]] | None:
        """The door of a path, decoded, and the path's parameters; nothing where only the router can tell."""
        endpoint = self._fixed.get(path)
        if endpoint is not None:
            return endpoint, {}
        parts = path.split("/")
        if len(parts) != 4 or not parts[2] or parts[0] or "\n" in path:
            return None
        between = self._between.get((parts[1], parts[3]))
        return None if between is None else (between[0], {between[1]: parts[2]})
