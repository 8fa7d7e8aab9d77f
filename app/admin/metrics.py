"""The metrics endpoint, for Prometheus."""

import hmac
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from app.errors import AuthenticationFailed


def metrics_router(render: Callable[[], bytes], content_type: str, key: str) -> APIRouter:
    """Return the endpoint `/metrics`.

    Args:
        render: returns all metrics as text. key: the bearer token that is required; empty for none.
    """
    router = APIRouter(tags=["Operations"])
    wanted = key.encode()

    @router.get(
        "/metrics",
        summary="Return the metrics of the process",
        response_class=Response,
        responses={
            200: {
                "content": {content_type: {"schema": {"type": "string"}}},
                "description": "Prometheus's text format.",
            },
            AuthenticationFailed.status: {"description": "METRICS_KEY is set, and is missing in the request."},
        },
    )
    def metrics(
        request: Request,
    ) -> Response:  # not async, so that FastAPI runs it in a thread: it takes some milliseconds
        """Needs METRICS_KEY as a bearer token if that is set. No metric names callers."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        is_shown = scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), wanted)
        if key and not is_shown:
            return Response("METRICS_KEY is wanted as a bearer token\n", AuthenticationFailed.status)
        return Response(render(), media_type=content_type)

    return router
