"""Where a browser goes that has to sign in first, and how it comes back to its page."""

from html import escape
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from app.console.cookies import SESSION_COOKIE
from app.console.parts import PREFIX
from app.console.rendering import SECURE_HEADERS
from app.console.visit import Visit

_REFRESH = '<!doctype html><html lang="en"><meta http-equiv="refresh" content="{}"><title>Outcrop</title></html>'


def is_own_page(url: str) -> bool:
    """Return whether a URL is the path of a page of the console."""
    return (url == PREFIX or url.startswith((f"{PREFIX}/", f"{PREFIX}?"))) and url.isprintable() and "\\" not in url


def refresh_to(url: str = "") -> Response:
    """Return a page with which the browser itself asks for a page of the console, or for the same one again.

    It then sends the cookies that are kept from other sites.
    """
    content = f"0; url={url}" if url else "0"
    headers = {**SECURE_HEADERS, "cache-control": "no-store"}
    return HTMLResponse(_REFRESH.format(escape(content)), headers=headers)


def sign_in_path(visit: Visit) -> str:
    """Return where to sign in: at the issuer of a session that has expired, which then leads back, or by the form."""
    session = visit.console.signer.read_any(visit.request.cookies.get(SESSION_COOKIE, ""))
    is_known = session is not None and session.name in visit.console.people.issuers.by_name
    if session is None or session.kind != "oidc" or not session.has_expired or not is_known:
        return f"{PREFIX}/sign-in"
    return f"{PREFIX}/sign-in/{quote(session.name)}?next={quote(_wanted(visit), safe='')}"


def _wanted(visit: Visit) -> str:
    """Return the page that the browser shows or asks for."""
    request = visit.request
    if request.method == "GET" and not visit.is_partial:
        url = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    else:
        shown = request.headers.get("hx-current-url") or request.headers.get("referer", "")
        url = "/" + shown.partition("#")[0].partition("://")[2].partition("/")[2]
    return url if is_own_page(url) else PREFIX
