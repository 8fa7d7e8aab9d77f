"""One request of the console: its form, its session, and the page that answers it."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console.console import Console
from app.console.cookies import SESSION_COOKIE
from app.console.parts import PREFIX, ConsoleParts
from app.console.people import Person
from app.dialects.http.endpoint import RECORD, head_of
from app.server.request_head import RequestHead

SAFE_METHODS = ("GET", "HEAD")
MAX_FORM_BYTES = 256 * 1024
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 # nosec B105
TOKEN_FIELD = "csrf_token"  # noqa: S105 # nosec B105
Form = dict[str, list[str]]


class Refused(Exception):
    """The request is answered by a page that says what is wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Visit(Struct):
    """A request and what is known about it. token: what forms and scripts must send. person: whoever is signed in."""

    request: Request
    console: Console
    token: str = ""
    person: Person | None = None

    @property
    def parts(self) -> ConsoleParts:
        """The parts of the gateway."""
        return self.console.parts

    @property
    def who(self) -> Person:
        """Whoever is signed in."""
        if self.person is None:
            raise Refused(401, "Sign in first.")
        return self.person

    @property
    def own_caller(self) -> str | None:
        """The caller whose requests may be shown; None for those of all."""
        return None if self.who.is_admin else self.who.caller.name

    @property
    def head(self) -> RequestHead:
        """The head of the request."""
        return head_of(self.request.scope)

    @property
    def client(self) -> str:
        """The address of the client."""
        client: str = self.request.scope[RECORD].client
        return client

    @property
    def request_id(self) -> str:
        """The id of the request, as in the log."""
        identifier: str = self.request.scope[RECORD].request_id
        return identifier

    @property
    def base(self) -> str:
        """The URL of the gateway, as the browser names it."""
        headers = self.request.headers
        scheme = headers.get("x-forwarded-proto", self.request.url.scheme)
        return f"{'https' if scheme == 'https' else 'http'}://{headers.get('host', 'localhost')}"

    @property
    def has_database(self) -> bool:
        """True if the gateway has a database."""
        return self.parts.database is not None

    @property
    def is_partial(self) -> bool:
        """True if htmx asks for a part of the page."""
        headers = self.request.headers
        return "hx-request" in headers and "hx-boosted" not in headers and "hx-history-restore-request" not in headers

    async def identify(self) -> None:
        """Find out who is signed in, and what forms and scripts must send.

        Raises:
            Refused: a page of another site sent a request that changes something.
        """
        if self.request.method not in SAFE_METHODS:
            check_origin(self.request.headers)
        console, cookie = self.console, self.request.cookies.get(SESSION_COOKIE, "")
        session = console.signer.read(cookie)
        if session is not None and not await console.ended.has(session):
            self.person = await console.people.current(session, self.head, self.client)
        if self.person is not None:
            self.token = console.signer.form_token(self.person.session.id)
            self.request.scope[RECORD].caller = self.person.caller.name

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the query. Raises Refused: it has a character that PostgreSQL takes in no text."""
        value = self.request.query_params.get(name, default)
        if "\0" in value:
            raise Refused(400, f"The parameter {name} must hold no control characters.")
        return value

    async def form(self) -> Form:
        """Return the fields of a form, each with its values.

        Raises:
            Refused: the form is too large, late, or not sent by a page of this session.
        """
        fields = parse_form(await read_body(self.request, self.parts.settings.caller_timeout))
        check_token(self.token, fields.get(TOKEN_FIELD, [""])[0] or self.request.headers.get(TOKEN_HEADER, ""))
        return fields

    def page(self, template: str, title: str, status: int = 200, **values: Any) -> Response:
        """Return a page with this title, or only its changing part where htmx asks for that."""
        shared = {
            "title": title,
            "person": self.person,
            "token": self.token,
            "path": self.request.url.path,
            "is_partial": self.is_partial,
            "has_database": self.has_database,
        }
        return self.console.renderer.response(template, status, {**shared, **values})

    def message(self, title: str, status: int, message: str) -> Response:
        """Return a page that only says what is wrong."""
        return self.page("message.html", title, status, message=message)

    def redirect(self, path: str) -> Response:
        """Return a redirection to a page, for the answer to a form."""
        return RedirectResponse(PREFIX + path, 303)


async def read_body(request: Request, seconds: float, limit: int = MAX_FORM_BYTES) -> bytes:
    """Read a body.

    Raises:
        Refused: it is larger than the limit, or does not arrive in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise Refused(413, "The form is too large.")
    except TimeoutError:
        raise Refused(408, "The form did not arrive in time.") from None
    return bytes(body)


def parse_form(body: bytes) -> Form:
    """Return the fields of a form.

    Raises:
        Refused: it is not a form of UTF-8 text.
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=500)
    except ValueError:
        raise Refused(400, "The form cannot be read.") from None
    fields: Form = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value.strip())
    return fields


def check_token(expected: str, shown: str) -> None:
    """Check that a page of this session sent the request. Raises Refused."""
    if not hmac.compare_digest(expected.encode(), shown.encode("utf-8", "surrogateescape")):
        raise Refused(403, "This page is out of date: load it again, and repeat what you did.")


def check_origin(headers: Mapping[str, str]) -> None:
    """Check that no page of another origin sent a request that changes something.

    Raises:
        Refused: the browser names another origin.
    """
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    is_foreign = site not in ("", "same-origin", "none")
    if is_foreign or (origin and origin.partition("://")[2].lower() != headers.get("host", "").lower()):
        raise Refused(403, "Pages of other sites may not do this.")
