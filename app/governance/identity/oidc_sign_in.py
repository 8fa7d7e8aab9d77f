"""Signs people in at an OIDC issuer: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636)."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from app.bedrock.transport import Transport
from app.config.identity_tables import ConsoleRow, OidcRow
from app.errors import AuthenticationFailed, Overloaded
from app.governance.identity.discovery import discover, parse_object, url_in
from app.governance.identity.http_documents import NotFetched, http_post_form
from app.governance.identity.oidc import OidcVerifier
from app.governance.identity.verified_tokens import Verified

_SECONDS = 5.0
_FRESH_SECONDS = 300.0
_MAX_BYTES = 512 * 1024
_ACCEPT = ("accept", "application/json")


class PendingSignIn(Struct, frozen=True):
    """A person who is at the issuer now. Only their browser may have it.

    state, nonce: what the issuer sends back beside the code, and in the token. verifier: proves to the issuer that the
    code is redeemed by whoever asked for it.
    """

    state: str
    nonce: str
    verifier: str


class OidcSignIn:
    """Signs people in at one issuer.

    Args:
        row: of the issuer. client: registered there for the console. secret: of the client; empty for a public one.
    """

    def __init__(self, row: OidcRow, client: ConsoleRow, secret: str, transport: Transport) -> None:
        self.row = row
        self.client = client
        self._secret = secret
        self._transport = transport
        # an ID token is for the client, and a caller's token for the gateway
        self._verifier = OidcVerifier([row.model_copy(update={"audiences": [client.client_id]})], transport)
        self._document: Mapping[str, Any] = {}
        self._read_at = -_FRESH_SECONDS

    async def begin(self, redirect_uri: str) -> tuple[str, PendingSignIn]:
        """Return where to send the browser, and what must be known when it comes back.

        Raises:
            Overloaded: the issuer cannot be asked now.
        """
        pending = PendingSignIn(*(secrets.token_urlsafe(32) for _ in range(3)))
        challenge = hashlib.sha256(pending.verifier.encode()).digest()
        fields = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.client.scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return _with_query(await self._endpoint("authorization_endpoint"), fields), pending

    async def finish(self, pending: PendingSignIn, code: str, redirect_uri: str) -> Verified:
        """Redeem the code that the browser brought.

        Raises:
            AuthenticationFailed: the code or its token is refused. PermissionRefused: no rule applies to the person.
            Overloaded: the issuer cannot be asked now.
        """
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.client.client_id,
            "code_verifier": pending.verifier,
        }
        endpoint, headers = await self._endpoint("token_endpoint"), [_ACCEPT]
        if self._secret:
            headers.append(("authorization", f"Basic {_credentials(self.client.client_id, self._secret)}"))
        try:
            status, body = await http_post_form(
                self._transport, endpoint, tuple(headers), fields, max_bytes=_MAX_BYTES, seconds=_SECONDS
            )
            token = parse_object(body).get("id_token")
        except NotFetched as error:
            raise self._unavailable(str(error)) from None
        if status >= 500:
            raise self._unavailable(f"status {status}")
        if status != 200 or not isinstance(token, str):
            raise AuthenticationFailed("the issuer does not accept the sign-in: try again", detail=f"status {status}")
        return await self._verifier.verify_sign_in(token, self.client.client_id, pending.nonce)

    async def end(self, redirect_uri: str) -> str:
        """Return where a browser ends its session at the issuer (OpenID Connect RP-Initiated Logout 1.0).

        Empty if the issuer has no such page.

        Raises:
            Overloaded: the issuer cannot be asked now.
        """
        endpoint = await self._endpoint("end_session_endpoint", is_optional=True)
        fields = {"client_id": self.client.client_id, "post_logout_redirect_uri": redirect_uri}
        return _with_query(endpoint, fields) if endpoint else ""

    async def _endpoint(self, name: str, *, is_optional: bool = False) -> str:
        try:
            if time.monotonic() - self._read_at >= _FRESH_SECONDS:
                self._document = await discover(self._transport, self.row.issuer, _SECONDS)
                self._read_at = time.monotonic()
            if is_optional and name not in self._document:
                return ""
            return url_in(self._document, name, self.row.issuer)
        except NotFetched as error:
            raise self._unavailable(str(error)) from None

    def _unavailable(self, reason: str) -> Overloaded:
        return Overloaded(
            f"the issuer {self.row.name} cannot be asked now: try again", detail=f"{self.row.name}: {reason}"
        )


def _with_query(url: str, fields: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(fields)}"


def _credentials(client_id: str, secret: str) -> str:
    """Return the credentials of a client (RFC 6749, 2.3.1)."""
    return base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
