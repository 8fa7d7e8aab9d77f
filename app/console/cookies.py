"""The cookies of the console."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from app.console.parts import PREFIX

SESSION_COOKIE = "outcrop_console"
# of a browser that is not signed in: what the token of the sign-in form belongs to
BROWSER_COOKIE = "outcrop_browser"
# of a person who is at an issuer. Browsers send it with the link from there
PENDING_COOKIE = "outcrop_sign_in"


def set_cookie(
    request: Request,
    response: Response,
    name: str,
    value: str,
    *,
    path: str = PREFIX,
    same_site: Literal["strict", "lax"] = "strict",
) -> None:
    """Set a cookie that scripts cannot read, and that browsers send for no page of another site.

    Without a value, delete it.
    """
    forwarded = request.headers.get("x-forwarded-proto", "")
    response.set_cookie(
        name,
        value,
        max_age=None if value else 0,
        path=path,
        secure="https" in (request.url.scheme, forwarded),
        httponly=True,
        samesite=same_site,
    )
