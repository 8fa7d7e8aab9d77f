"""The route table finds the endpoints that a router of Starlette would find."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from app.composition.gateway import build_gateway
from app.dialects.http.route_table import RouteTable
from app.dialects.openai.responses.background import BackgroundResponses
from app.main import endpoints_of
from app.server.worker_context import WorkerContext
from tests.servers import gateway_settings

SETTINGS = gateway_settings("http://127.0.0.1:9")
GATEWAY = build_gateway(SETTINGS, WorkerContext())
SPECS = endpoints_of(SETTINGS, GATEWAY, BackgroundResponses(GATEWAY.responses))
TABLE = RouteTable(SPECS, GATEWAY.ingress_limits)
METHODS = sorted({spec.method for spec in SPECS})


class Asgi:
    """Starlette wraps functions only."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


ROUTES = [(spec, Route(spec.path, Asgi(), methods=[spec.method])) for spec in SPECS]
SEGMENTS = st.sampled_from(
    [*sorted({part for spec in SPECS for part in spec.path.split("/")}), "a.b", "a:1", "..", "x y", "a\nb", ""]
)


def routed(path: str, method: str) -> tuple[Any, dict[str, Any]] | None:
    """The spec that a router would find: the first that matches, or else the first that has another method."""
    scope: Any = {"type": "http", "path": path, "method": method, "headers": [], "root_path": ""}
    partial = None
    for spec, route in ROUTES:
        match, found = route.matches(scope)
        if match is Match.FULL:
            return spec, found["path_params"]
        if match is Match.PARTIAL and partial is None:
            partial = spec, found["path_params"]
    return partial


@given(st.lists(SEGMENTS, min_size=1, max_size=5), st.sampled_from(METHODS))
def test_table_finds_what_a_router_finds(segments: list[str], method: str) -> None:
    path = "/" + "/".join(segments)
    found, expected = TABLE.find(f"{method} {path}"), routed(path, method)
    if path == "/v1/responses/input_tokens" and method != "POST":
        # a fixed path is never the value of a parameter
        assert found is not None
        assert found[0].spec.method == "POST"
    elif expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found[0].spec, found[1]) == expected


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/api/v1/chat/completions"),
        ("/v1/messages", "/v1/messages"),
        ("/model/amazon.nova-lite-v1:0/converse-stream", "/model/{modelId}/converse-stream"),
        ("/model/a/b/converse", "/model/{modelId}/converse"),
        ("/v1/models/a", "/v1/models/{model}"),
    ],
)
def test_route_is_the_template_of_the_path(path: str, template: str) -> None:
    found = TABLE.find(f"POST {path}")
    assert found is not None
    assert found[0].route == template


@pytest.mark.parametrize("path", ["/health", "/x/a/converse", "/model/a\nb/converse", "/docs", "", "/"])
def test_paths_without_an_endpoint_are_left_to_the_application(path: str) -> None:
    assert TABLE.find(f"GET {path}") is None


def test_what_was_found_is_remembered_for_short_paths_only() -> None:
    """Callers without a key choose the paths: 128 long ones held 12 MB."""
    short, long = "POST /model/a/converse", f"POST /model/{'a' * 1000}/converse"
    assert TABLE.find(short) is TABLE.find(short)
    assert TABLE.find(long) == TABLE.find(long)
    assert TABLE.find(long) is not TABLE.find(long)
