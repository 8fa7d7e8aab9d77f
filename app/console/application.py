"""The application of the console: its pages, and what holds for each of them."""

from __future__ import annotations

import logging
import secrets

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from app.admin.api.operations.failures import NotFound, OperationRefused
from app.console.assets_served import read_assets, serve_asset
from app.console.console import Console
from app.console.cookies import BROWSER_COOKIE, set_cookie
from app.console.ended_sessions import EndedSessions
from app.console.gateway_calls import GatewayCalls
from app.console.page_spec import PageSpec
from app.console.pages import pages_of
from app.console.parts import PREFIX, ConsoleParts
from app.console.people import people_of
from app.console.recent_requests import RecentRequests
from app.console.rendering import SECURE_HEADERS, Renderer
from app.console.returning import refresh_to, sign_in_path
from app.console.sessions import signer_of
from app.console.visit import SAFE_METHODS, Refused, Visit
from app.dialects.http.endpoint import RECORD
from app.errors import GatewayError
from app.storage.database_down import DatabaseDown

_log = logging.getLogger(__name__)

_NO_PAGE = "Not found", "This page does not exist."
_NO_METHOD = "Method not allowed", "This page does not take this method."


def _sign_in_first(visit: Visit) -> Response:
    headers = {**SECURE_HEADERS, "cache-control": "no-store"}
    if visit.request.method in SAFE_METHODS and visit.request.headers.get("sec-fetch-site") == "cross-site":
        return refresh_to()
    if visit.is_partial:
        # the whole page has to change
        return Response(status_code=401, headers={**headers, "hx-redirect": sign_in_path(visit)})
    return RedirectResponse(sign_in_path(visit), 303, headers)


class _Page(Struct, frozen=True):
    """A page as an ASGI application."""

    console: Console
    spec: PageSpec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the page."""
        spec = self.spec
        scope[RECORD].route = PREFIX + spec.path.rstrip("/")
        visit = Visit(Request(scope, receive, send), self.console)
        try:
            response = await self._answer(visit)
        except Refused as refused:
            response = visit.message(spec.title, refused.status, refused.message)
        except OperationRefused as error:
            status = 404 if isinstance(error, NotFound) else 400
            response = visit.message(spec.title, status, f"{error.message[:1].upper()}{error.message[1:]}.")
        except GatewayError as error:
            response = visit.message(spec.title, error.status, error.message)
        except DatabaseDown as error:
            _log.warning("the console cannot read the database: %s", error)
            # the reason names the address of the database, and anybody may see this page
            response = visit.message(spec.title, 503, "The database does not answer. The log has the reason.")
        except Exception as error:  # noqa: BLE001 -- a defect must still be answered by a page
            _log.exception("unexpected failure", extra={"fields": {"request_id": visit.request_id}})
            scope[RECORD].detail = type(error).__name__
            response = visit.message(spec.title, 500, "An internal error occurred. The log has the request id.")
        await response(scope, receive, send)

    async def _answer(self, visit: Visit) -> Response:
        await visit.identify()
        if visit.person is None:
            return await self._without_session(visit)
        if self.spec.access == "admin" and visit.person.sees == "own":
            raise Refused(403, "This page is for administrators.")
        return await self.spec.view(visit)

    async def _without_session(self, visit: Visit) -> Response:
        """Answer a browser that is not signed in: the token of its form belongs to a cookie, too."""
        if self.spec.access != "anyone":
            return _sign_in_first(visit)
        known = visit.request.cookies.get(BROWSER_COOKIE, "")
        browser = known or secrets.token_urlsafe(16)
        visit.token = self.console.signer.form_token(f"browser {browser}")
        response = await self.spec.view(visit)
        if not known:
            set_cookie(visit.request, response, BROWSER_COOKIE, browser)
        return response


def make_console(parts: ConsoleParts) -> ASGIApp:
    """Make the console. From now on it remembers the requests that this process serves."""
    signer = signer_of(parts.settings)
    console = Console(
        parts,
        Renderer(read_assets()),
        signer,
        people_of(parts, signer),
        EndedSessions(parts.database),
        RecentRequests(),
    )
    parts.observers.append(console.recent)
    pages = pages_of(has_database=parts.database is not None)
    routes = [Route(PREFIX + spec.path.rstrip("/"), _Page(console, spec), methods=[spec.method]) for spec in pages]
    router = Router(
        [
            Route(f"{PREFIX}/assets/{{digest}}/{{name}}", serve_asset),
            Route(f"{PREFIX}/call/{{path:path}}", GatewayCalls(console)),
            *routes,
        ]
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await router(scope, receive, send)
        except HTTPException as error:
            await _Page(console, _page_of(error))(scope, receive, send)

    return serve


def _page_of(error: HTTPException) -> PageSpec:
    """Return the page that says that a path or its method does not exist."""
    title, text = _NO_PAGE if error.status_code == 404 else _NO_METHOD

    async def view(visit: Visit) -> Response:
        response = visit.message(title, error.status_code, text)
        response.headers.update(error.headers or {})
        return response

    return PageSpec("GET", "/{page}", view, title, "anyone")
