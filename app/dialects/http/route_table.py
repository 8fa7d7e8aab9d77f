"""Finds the endpoint of a path in one lookup; FastAPI's router would try one route after the other."""

import re
from collections.abc import Callable, Iterable

from msgspec.structs import replace
from starlette.routing import compile_path

from app.dialects.http.endpoint import Endpoint, IngressLimits
from app.dialects.http.endpoint_spec import EndpointSpec
from app.process.bounded_cache import bounded_cache
from app.wire.json import JsonObject

Found = tuple[Endpoint, JsonObject]

_MAX_FOUND = 512


class RouteTable:
    """The endpoints of all dialects by path and method.

    find: returns the endpoint of a method and a path, decoded, as in `GET /v1/models`, and the path's parameters. None
    if no endpoint has the path; if only the method is wrong, an endpoint of the path, which refuses it. What it returns
    is remembered, unless the path is long.
    websockets: by path, the endpoints that also serve a WebSocket.
    """

    find: Callable[[str], Found | None]

    def __init__(self, specs: Iterable[EndpointSpec], limits: IngressLimits) -> None:
        self.find = bounded_cache(_MAX_FOUND)(self._find)
        by_path: dict[str, list[EndpointSpec]] = {}
        for spec in specs:
            by_path.setdefault(spec.path, []).append(spec)
        self._fixed: dict[str, dict[str, Endpoint]] = {}
        self.websockets: dict[str, Endpoint] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = []
        for path, of_path in by_path.items():
            pattern, route = compile_path(path)[:2] if "{" in path else (None, path)
            by_method = {spec.method: spec for spec in of_path}
            get = by_method.get("GET")
            allowed = tuple(sorted({*by_method, "HEAD"} if get else by_method))
            endpoints = {method: Endpoint(spec, route, allowed, limits) for method, spec in by_method.items()}
            if get:  # the server omits the body; no GET is streamed
                endpoints["HEAD"] = Endpoint(replace(get, method="HEAD"), route, allowed, limits)
            self.websockets.update((path, each) for each in endpoints.values() if each.spec.websocket is not None)
            if pattern is None:
                self._fixed[path] = endpoints
            else:
                self._patterns.append((pattern, endpoints))

    def _find(self, method_and_path: str) -> Found | None:
        method, _, path = method_and_path.partition(" ")
        endpoints = self._fixed.get(path)
        if endpoints is not None:
            return endpoints.get(method) or next(iter(endpoints.values())), {}
        refusing: Found | None = None
        for pattern, endpoints in self._patterns:
            if match := pattern.match(path):
                if method in endpoints:
                    return endpoints[method], match.groupdict()
                refusing = refusing or (next(iter(endpoints.values())), match.groupdict())
        return refusing
