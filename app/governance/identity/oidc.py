"""Verifies JSON Web Tokens of OIDC issuers.

Each issuer has its own keys, audiences and algorithms: nothing that a token says chooses them but `iss` and `kid`.
"""

import time
from collections.abc import Callable, Iterable

import jwt
from msgspec import Struct

from app.bedrock.transport import Transport
from app.config.identity_tables import OidcRow
from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.claim_rules import ClaimRules, Claims, Identity, texts_of
from app.governance.identity.issuer_keys import IssuerKeys
from app.governance.identity.verified_tokens import Checks, Verified

_MAX_LENGTH = 16 * 1024
# between the clocks of an issuer and of this machine
_LEEWAY_SECONDS = 30
_REQUIRED = ["exp", "iss", "aud", "sub"]
# the first that an error is an instance of
_REASONS: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is not for this gateway: its audience is another"),
    (jwt.MissingRequiredClaimError, "the token lacks one of the claims exp, iss, aud and sub"),
    (jwt.InvalidSignatureError, "the signature of the token is wrong"),
)


class _Issuer(Struct, frozen=True):
    row: OidcRow
    keys: IssuerKeys
    rules: ClaimRules

    def identify(self, claims: Claims) -> Identity:
        person = next(texts_of(claims, self.row.user_claim), "")
        if not person:
            raise PermissionRefused(f"the token lacks the claim {self.row.user_claim}", param=self.row.user_claim)
        return self.rules.apply(claims, str(claims["sub"]), person)


class OidcVerifier:
    """Verifies tokens of the configured issuers. See `TokenVerifier`."""

    def __init__(
        self, rows: Iterable[OidcRow], transport: Transport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuers = {
            row.issuer: _Issuer(
                row,
                IssuerKeys(row.name, row.issuer, row.jwks_uri, row.algorithms, transport, clock),
                ClaimRules(f"oidc/{row.name}", row.rules),
            )
            for row in rows
        }

    def accepts(self, token: str) -> bool:
        """True for a JSON Web Token with a signature."""
        return token.startswith("ey") and token.count(".") == 2 and token.isascii()

    async def verify(self, token: str) -> Verified:
        """Verify a token. See `TokenVerifier.verify`."""
        issuer, claims = await self._claims(token)
        return _verified(issuer, claims)

    async def verify_sign_in(self, token: str, client_id: str, nonce: str) -> Verified:
        """Verify the ID token of a person who signs in (OpenID Connect Core, 3.1.3.7). Raises as `verify` does.

        Args:
            client_id: that asked for the token. nonce: of this sign-in.
        """
        issuer, claims = await self._claims(token)
        if claims.get("nonce") != nonce or claims.get("azp", client_id) != client_id:
            raise AuthenticationFailed("the token is of another sign-in", detail="nonce or azp")
        return _verified(issuer, claims)

    async def _claims(self, token: str) -> tuple[_Issuer, Claims]:
        """Return the issuer of a token, and the claims that its signature covers. Raises as `verify` does."""
        if len(token) > _MAX_LENGTH:
            raise AuthenticationFailed(f"the token has more than {_MAX_LENGTH} characters")
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise _refusal(error) from None
        name, algorithm = unverified.get("iss"), header.get("alg")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise AuthenticationFailed("the token is of an issuer that this deployment does not accept")
        if algorithm not in issuer.row.algorithms:
            raise AuthenticationFailed("the token is signed with an algorithm that this deployment does not accept")
        key = await issuer.keys.find(header.get("kid", ""), algorithm)
        if key is None:
            raise AuthenticationFailed("the token is signed with a key that its issuer does not publish")
        try:
            return issuer, jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=issuer.row.audiences,
                issuer=issuer.row.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED, "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise _refusal(error) from None

    def checks(self) -> Checks:
        """Return the reading of each issuer's keys."""
        return {f"keys of issuer {issuer.row.name}": issuer.keys.read for issuer in self._issuers.values()}

    async def close(self) -> None:
        """Stop reading keys."""
        for issuer in self._issuers.values():
            await issuer.keys.close()


def _verified(issuer: _Issuer, claims: Claims) -> Verified:
    expires: float = claims["exp"]  # type: ignore[assignment]
    return Verified(issuer.identify(claims), float(expires) + _LEEWAY_SECONDS)


def _refusal(error: jwt.PyJWTError) -> AuthenticationFailed:
    """Return what the caller is told, which quotes nothing of the token."""
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "the token is malformed")
    return AuthenticationFailed(reason, detail=type(error).__name__)
