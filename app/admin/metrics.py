"""Metrics, for Prometheus to fetch."""

import hmac
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from app.errors import AuthenticationFailed


def metrics_router(render: Callable[[], bytes], content_type: str, key: str) -> APIRouter:
    """`/metrics`.

    Args:
        render: all metrics, as text. key: what has to be shown as a bearer token; nothing where nobody has to.
    """
    router = APIRouter(tags=["Operations"])
    wanted = key.encode()

    @router.get(
        "/metrics",
        summary="What the process counts and measures",
        response_class=Response,
        responses={
            200: {
                "content": {content_type: {"schema": {"type": "string"}}},
                "description": "Prometheus's text format.",
            },
            AuthenticationFailed.status: {"description": "METRICS_KEY is set, and was not shown."},
        },
    )
    def metrics(request: Request) -> Response:  # not async: it takes a while, and so runs in a thread
        """Needs METRICS_KEY as a bearer token where that is set. No metric tells of callers."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        is_shown = scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), wanted)
        if key and not is_shown:
            return Response("METRICS_KEY is wanted as a bearer token\n", AuthenticationFailed.status)
        return Response(render(), media_type=content_type)

    return router
