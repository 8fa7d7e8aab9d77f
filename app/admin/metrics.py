"""The metrics endpoint, for Prometheus."""

import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from app.admin.direct_route import DirectRoute, Responses
from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.open_access import FORWARDED, is_loopback


def metrics_route(render: Callable[[], bytes], content_type: str, key: str) -> DirectRoute:
    """Return the endpoint `/metrics`.

    Args:
        render: returns all metrics as text. key: the bearer token that is required; without one, only clients on this
            machine are served.
    """
    wanted = key.encode()

    def metrics(
        request: Request,
    ) -> Response:  # not async, so that Starlette runs it in a thread: it takes some milliseconds
        """Needs METRICS_KEY as a bearer token. Without it, only this machine is served. No metric names a user."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        is_shown = scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), wanted)
        if not key and not _is_local(request):
            return Response("set METRICS_KEY to read the metrics from elsewhere\n", PermissionRefused.status)
        if key and not is_shown:
            return Response("send METRICS_KEY as a bearer token\n", AuthenticationFailed.status)
        return Response(render(), media_type=content_type)

    def responses() -> Responses:
        return {
            200: {
                "content": {content_type: {"schema": {"type": "string"}}},
                "description": "Prometheus's text format.",
            },
            PermissionRefused.status: {"description": "METRICS_KEY is not set, and the client is on another machine."},
            AuthenticationFailed.status: {"description": "METRICS_KEY is set, and is missing in the request."},
        }

    return DirectRoute("/metrics", metrics, "Return the metrics of the process", responses)


def _is_local(request: Request) -> bool:
    client = request.client.host if request.client else ""
    return is_loopback(client) and not any(name in request.headers for name in FORWARDED)
