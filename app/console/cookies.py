"""The cookies of the console."""

from starlette.requests import Request
from starlette.responses import Response

from app.console.entry import PREFIX

SESSION_COOKIE = "outcrop_console"
# of a browser that is not signed in: what the token of the sign-in form belongs to
BROWSER_COOKIE = "outcrop_browser"


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Set a cookie that scripts cannot read, and that browsers send for no page of another site.

    Without a value, delete it.
    """
    forwarded = request.headers.get("x-forwarded-proto", "")
    response.set_cookie(
        name,
        value,
        max_age=None if value else 0,
        path=PREFIX,
        secure="https" in (request.url.scheme, forwarded),
        httponly=True,
        samesite="strict",
    )
