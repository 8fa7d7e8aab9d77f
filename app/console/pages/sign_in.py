"""Signing in and out."""

from starlette.responses import Response

from app.console.cookies import SESSION_COOKIE, set_cookie
from app.console.page_spec import PageSpec
from app.console.visit import Visit

TITLE = "Sign in"


async def show_sign_in(visit: Visit) -> Response:
    """Show the form."""
    return visit.redirect("") if visit.person is not None else _form(visit)


async def sign_in(visit: Visit) -> Response:
    """Begin a session for the holder of a key. Failures are throttled by address, as those of the APIs are."""
    if visit.person is not None:
        return visit.redirect("")
    secret = (await visit.form()).get("admin_key", [""])[0]
    session = await visit.console.people.sign_in(secret, visit.head, visit.client)
    if session is None:
        if visit.parts.gateway.ingress_limits.failed_attempts.note(visit.client):
            return _form(visit, 429, "Too many attempts from this address: try again in a minute.")
        return _form(visit, 401, "This key is not known. Check that all of it was pasted.")
    response = visit.redirect("")
    set_cookie(visit.request, response, SESSION_COOKIE, visit.console.signer.sign(session))
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session, wherever its cookie was copied to."""
    await visit.form()
    await visit.console.ended.end(visit.who.session)
    response = visit.redirect("/sign-in")
    set_cookie(visit.request, response, SESSION_COOKIE, "")
    return response


def _form(visit: Visit, status: int = 200, error: str = "") -> Response:
    people = visit.console.people
    values = {"has_administrators": bool(people.administrators), "is_open": people.open_access is not None}
    return visit.page("sign_in.html", TITLE, status, error=error, **values)


PAGES = (
    PageSpec("GET", "/sign-in", show_sign_in, TITLE, "anyone"),
    PageSpec("POST", "/sign-in", sign_in, TITLE, "anyone"),
    PageSpec("POST", "/sign-out", sign_out, "Sign out", "signed_in"),
)
