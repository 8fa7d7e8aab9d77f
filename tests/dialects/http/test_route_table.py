"""Whatever is found without the router is what the router would find."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match

from app.dialects.http.endpoint import Endpoint
from app.dialects.http.route_table import RouteTable
from app.main import create_app
from tests.servers import gateway_settings

ROUTES = create_app(gateway_settings("http://127.0.0.1:9")).routes
IMPORTERS = RouteTable(ROUTES)
SEGMENTS = st.sampled_from(
    [*{part for route in ROUTES for part in getattr(route, "path", "").split("/")}, "a.b", "a:1", "..", "x y", ""]
)


def routed(path: str, method: str) -> tuple[Any, dict[str, Any]]:
    scope: Any = {"type": "http", "path": path, "method": method, "headers": [], "root_path": ""}
    for route in ROUTES:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return route, found["path_params"]
    return None, {}


@given(st.lists(SEGMENTS, min_size=1, max_size=5))
def test_the_router_would_find_the_same(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    found = IMPORTERS.find(path)
    if found is not None:
        endpoint, parameters = found
        for method in endpoint.methods or ():
            assert routed(path, method) == (endpoint, parameters)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/api/v1/chat/completions"),
        ("/v1/messages", "/v1/messages"),
        ("/model/amazon.nova-lite-v1:0/converse-stream", "/model/{modelId}/converse-stream"),
    ],
)
def test_what_is_called_most_is_found(path: str, template: str) -> None:
    found = IMPORTERS.find(path)
    assert found is not None
    assert (type(found[0]), found[0].path_format) == (Endpoint, template)


@pytest.mark.parametrize(
    "path",
    ["/health", "/model//converse", "/model/a/b/converse", "/x/a/converse", "/v1/models/a", "/model/a\nb/converse", ""],
)
def test_what_is_for_the_router_is_left_to_it(path: str) -> None:
    assert IMPORTERS.find(path) is None
