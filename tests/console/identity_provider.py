"""An identity provider with a page for people, on this machine: the authorization code flow with PKCE."""

import base64
import contextlib
import hashlib
import html
import json
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from tests.governance.oidc_issuer import Issuer
from tests.servers import serving

CLIENT, SECRET = "outcrop-console", "secret-of-the-console-s-client"
_COOKIE = "provider=signed-in"


class IdentityProvider(Issuer):
    """Signs in one person, whose claims tests change.

    claims: of the person, in the ID tokens. altered: of the next token, instead of the usual ones.
    redirect_uris: those that are registered, for people who come back from signing in and from signing out.
    codes: those that were given out, with their requests.
    """

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, Any] = {}
        self.altered: dict[str, Any] = {}
        self.redirect_uris: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.discovery_paths = {"authorization_endpoint": "authorize", "token_endpoint": "token"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/authorize", "/token", "/logout"):
            self.discovery = {name: self.url_of(path) for name, path in self.discovery_paths.items()}
            await super().__call__(scope, receive, send)
            return
        self.requests.append(scope["path"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        if scope["path"] == "/authorize":
            status, sent, body = self._authorize(asked, headers)
        elif scope["path"] == "/logout":
            status, sent, body = self._end(asked)
        else:
            form = parse_qs((await receive())["body"].decode())
            status, sent, body = self._redeem({name: values[0] for name, values in form.items()}, headers)
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def url_of(self, path: str) -> str:
        return f"{self.url}/{path}"

    def _authorize(self, asked: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Send whoever is signed in back with a code, and show others a page on which they sign in."""
        is_known = asked["client_id"] == CLIENT and asked["redirect_uri"] in self.redirect_uris
        if not is_known or (asked["response_type"], asked["code_challenge_method"]) != ("code", "S256"):
            return 400, {"content-type": "text/plain"}, b"the client or its request is not known"
        if asked.get("prompt") != "done" and _COOKIE not in headers.get("cookie", ""):
            again = html.escape("/authorize?" + urlencode({**asked, "prompt": "done"}))
            page = f'<!doctype html><title>Provider</title><a href="{again}">Continue</a>'
            return 200, {"content-type": "text/html"}, page.encode()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"], "iss": self.url})
        location = f"{asked['redirect_uri']}?{answer}"
        return 303, {"location": location, "set-cookie": f"{_COOKIE}; Path=/; HttpOnly; SameSite=Lax"}, b""

    def _end(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Forget the browser, and send it back."""
        location = asked.get("post_logout_redirect_uri", "")
        if asked.get("client_id") != CLIENT or location not in self.redirect_uris:
            return 400, {"content-type": "text/plain"}, b"the client or its request is not known"
        return 303, {"location": location, "set-cookie": f"{_COOKIE}; Path=/; Max-Age=0"}, b""

    def _redeem(self, form: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked = self.codes.pop(form.get("code", ""), None)
        credentials = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_right = (
            asked is not None
            and form["redirect_uri"] == asked["redirect_uri"]
            and challenge == asked["code_challenge"]
            and unquote(credentials) == f"{CLIENT}:{SECRET}"
        )
        if asked is None or not is_right:
            return 400, {"content-type": "application/json"}, b'{"error": "invalid_grant"}'
        altered, self.altered = self.altered, {}
        token = self.token(**{"aud": CLIENT, "nonce": asked["nonce"], **self.claims, **altered})
        answer = {"access_token": "none", "token_type": "Bearer", "id_token": token}
        return 200, {"content-type": "application/json"}, json.dumps(answer).encode()


@contextlib.contextmanager
def running_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    with serving(provider) as url:
        provider.url = url
        yield provider
