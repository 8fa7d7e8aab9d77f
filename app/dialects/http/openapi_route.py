"""Serves the OpenAPI document at `/openapi.json`."""

from collections.abc import Callable
from functools import cache
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.wire import json
from app.wire.json import JsonObject


def openapi_route(make: Callable[[], JsonObject]) -> Route:
    """Return the route, which makes the document once, in a thread, and keeps its bytes."""
    making = Lock()

    @cache
    def made() -> bytes:
        return json.dumps(make())

    def serve(_: Request) -> Response:
        with making:
            document = made()
        return Response(document, media_type="application/json")

    return Route("/openapi.json", serve, include_in_schema=False)
