"""Signing in and out."""

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from app.console.cookies import PENDING_COOKIE, SESSION_COOKIE, set_cookie
from app.console.page_spec import PageSpec
from app.console.parts import PREFIX
from app.console.rendering import SECURE_HEADERS
from app.console.returning import is_own_page, refresh_to
from app.console.sessions import CookieTooLarge
from app.console.visit import Refused, Visit
from app.errors import AuthenticationFailed, GatewayError

TITLE = "Sign in"
_PENDING_PATH = f"{PREFIX}/sign-in"


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
    """End the session, wherever its cookie was copied to, and that of the browser at the issuer.

    A session that has expired is ended too: the browser would else pass its issuer, and be signed in again.
    """
    console = visit.console
    session = console.signer.read_any(visit.request.cookies.get(SESSION_COOKIE, ""))
    if session is not None:
        visit.token = console.signer.form_token(session.id)
    await visit.form()
    if session is None:
        return visit.redirect("/sign-in")
    await console.ended.end(session)
    response = await _leave_issuer(visit, session.name) if session.kind == "oidc" else visit.redirect("/sign-in")
    set_cookie(visit.request, response, SESSION_COOKIE, "")
    return response


async def _leave_issuer(visit: Visit, name: str) -> Response:
    try:
        url = await visit.console.people.issuers.end(name, f"{visit.base}{_PENDING_PATH}")
    except GatewayError as error:
        visit.person, visit.token = None, ""
        text = f"You are signed out here, and may still be signed in at {name}: {error.message}."
        return visit.message("Sign out", error.status, text)
    # the policy of the page lets its forms lead to this site only
    return refresh_to(url) if url else visit.redirect("/sign-in")


async def go_to_issuer(visit: Visit) -> Response:
    """Send the browser to an issuer, with the page to show afterwards in the query."""
    name = visit.request.path_params["issuer"]
    wanted = visit.query("next", PREFIX)
    try:
        url, cookie = await visit.console.people.issuers.begin(
            name, _redirect_uri(visit, name), wanted if is_own_page(wanted) else PREFIX
        )
    except KeyError:
        raise Refused(404, "Nobody signs in at an issuer of this name.") from None
    except GatewayError as error:
        return _form(visit, error.status, _sentence(error.message))
    response = RedirectResponse(url, 303, {**SECURE_HEADERS, "cache-control": "no-store"})
    set_cookie(visit.request, response, PENDING_COOKIE, cookie, path=_PENDING_PATH, same_site="lax")
    return response


async def come_back(visit: Visit) -> Response:
    """Begin a session for whoever comes back from an issuer, or say why not."""
    name, cookie = visit.request.path_params["issuer"], visit.request.cookies.get(PENDING_COOKIE, "")
    try:
        session_cookie, wanted = await visit.console.people.issuers.finish(
            name, _redirect_uri(visit, name), visit.request.query_params, cookie
        )
    except CookieTooLarge:
        response = _form(visit, 403, "The team and labels that the issuer names are too long for a session.")
    except AuthenticationFailed as error:
        if visit.parts.gateway.ingress_limits.failed_attempts.note(visit.client):
            response = _form(visit, 429, "Too many attempts from this address: try again in a minute.")
        else:
            response = _form(visit, 401, _sentence(error.message))
    except GatewayError as error:
        response = _form(visit, error.status, _sentence(error.message))
    else:
        # browsers send the new cookie only when a page of this site asks
        response = refresh_to(wanted)
        set_cookie(visit.request, response, SESSION_COOKIE, session_cookie)
        set_cookie(visit.request, response, PENDING_COOKIE, "", path=_PENDING_PATH, same_site="lax")
        return response
    set_cookie(visit.request, response, SESSION_COOKIE, "")
    set_cookie(visit.request, response, PENDING_COOKIE, "", path=_PENDING_PATH, same_site="lax")
    return response


def _redirect_uri(visit: Visit, issuer: str) -> str:
    return f"{visit.base}{_PENDING_PATH}/{quote(issuer, safe='')}/done"


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def _form(visit: Visit, status: int = 200, error: str = "") -> Response:
    people = visit.console.people
    values = {
        "has_administrators": bool(people.administrators),
        "is_open": people.open_access is not None,
        "issuers": [*people.issuers.by_name],
    }
    return visit.page("sign_in.html", TITLE, status, error=error, **values)


PAGES = (
    PageSpec("GET", "/sign-in", show_sign_in, TITLE, "anyone"),
    PageSpec("POST", "/sign-in", sign_in, TITLE, "anyone"),
    PageSpec("GET", "/sign-in/{issuer}", go_to_issuer, TITLE, "anyone"),
    PageSpec("GET", "/sign-in/{issuer}/done", come_back, TITLE, "anyone"),
    PageSpec("POST", "/sign-out", sign_out, "Sign out", "anyone"),
)
