"""Lets scripts of web pages of other origins call the gateway (CORS)."""

from collections.abc import Sequence

from starlette.types import ASGIApp

_METHODS = ("DELETE", "GET", "HEAD", "POST")


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Wrap an application: answer preflight requests, and let scripts of these origins read responses.

    Scripts send a key in a header. Cookies are not allowed, so scripts may read all response headers by `*`.
    """
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=_METHODS, allow_headers=("*",), expose_headers=("*",)
    )
