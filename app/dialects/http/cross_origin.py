"""Lets scripts of web pages of other origins call the gateway (CORS)."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from app.server.asgi_extensions import RESPOND

_METHODS = ("DELETE", "GET", "HEAD", "POST")


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Wrap an application: answer preflight requests, and let scripts of these origins read responses.

    Scripts send a key in a header. Cookies are not allowed, so scripts may read all response headers by `*`.
    """
    from starlette.middleware.cors import CORSMiddleware

    with_origins = CORSMiddleware(
        app, allow_origins=origins, allow_methods=_METHODS, allow_headers=("*",), expose_headers=("*",)
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope.pop(RESPOND, None)  # it would write no headers of this middleware
        await with_origins(scope, receive, send)

    return serve
