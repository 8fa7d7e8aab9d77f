"""Sign-in at the OIDC issuers of the configuration: who a session of one belongs to, and the way there and back."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from app.console.sessions import Session, SessionSigner, new_session
from app.errors import AuthenticationFailed
from app.governance.identity.administrators import ADMIN_ROLE
from app.governance.identity.caller import Caller
from app.governance.identity.claim_rules import Identity

if TYPE_CHECKING:
    from app.config.settings import Settings
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.oidc_sign_in import OidcSignIn

# how long people may take to sign in at the issuer
PENDING_SECONDS = 600
_PURPOSE = "sign-in"


class Issuers(Struct, frozen=True):
    """The issuers at which people may sign in, by name. callers: finds the teams of all but administrators."""

    signer: SessionSigner
    by_name: Mapping[str, OidcSignIn]
    callers: ExternalCallers | None = None

    async def begin(self, name: str, redirect_uri: str, wanted: str) -> tuple[str, str]:
        """Return where to send the browser, and the cookie that it must bring back.

        Args:
            wanted: the page to show in the end.

        Raises:
            KeyError: there is no such issuer. Overloaded: it cannot be asked now.
        """
        url, pending = await self.by_name[name].begin(redirect_uri)
        until = int(time.time()) + PENDING_SECONDS
        return url, self.signer.sign_values(_PURPOSE, [name, until, wanted, *structs.astuple(pending)])

    async def finish(self, name: str, redirect_uri: str, query: Mapping[str, str], cookie: str) -> tuple[str, str]:
        """Return the cookie of a session for whoever comes back from an issuer, and the page to show.

        Raises:
            AuthenticationFailed: the browser did not begin this sign-in, or the issuer refuses it.
            PermissionRefused: no rule applies to the person. Overloaded: the issuer cannot be asked now.
            CookieTooLarge: the team and labels of the person do not fit into a cookie.
        """
        # it loads the libraries of tokens
        from app.governance.identity.oidc_sign_in import PendingSignIn

        begun = self.signer.read_values(_PURPOSE, cookie)
        if begun is None or begun[0] != name or time.time() > begun[1]:
            raise AuthenticationFailed("this browser did not begin the sign-in, or took too long: try again")
        wanted, pending = str(begun[2]), PendingSignIn(*begun[3:])
        if not hmac.compare_digest(query.get("state", "").encode(), pending.state.encode()):
            raise AuthenticationFailed("this answer belongs to another sign-in: try again")
        issuer = self.by_name[name]
        # RFC 9207
        if query.get("iss", issuer.row.issuer) != issuer.row.issuer:
            raise AuthenticationFailed("the answer is of another issuer")
        if not (code := query.get("code", "")):
            raise AuthenticationFailed(f"the issuer refused the sign-in: {_reason(query.get('error', ''))}")
        verified = await issuer.finish(pending, code, redirect_uri)
        identity = structs.asdict(verified.identity)
        seconds = issuer.client.recheck_seconds
        return self.signer.sign(new_session("oidc", name, self._proof(issuer), seconds, identity)), wanted

    async def end(self, name: str, redirect_uri: str) -> str:
        """Return where a browser ends its session at an issuer, and comes back from; empty if there is no such page.

        Raises:
            Overloaded: the issuer cannot be asked now.
        """
        issuer = self.by_name.get(name)
        return "" if issuer is None else await issuer.end(redirect_uri)

    def identity_of(self, session: Session) -> Identity | None:
        """Return who a session belongs to; None once the configuration says something else about the issuer."""
        issuer = self.by_name.get(session.name)
        if issuer is None or session.identity is None or session.proof != self._proof(issuer):
            return None
        return Identity(**{**session.identity, "roles": frozenset(session.identity["roles"])})

    async def caller_of(self, identity: Identity) -> Caller | None:
        """Return the caller of an identity that has a team.

        Raises:
            AuthenticationFailed, PermissionRefused, Overloaded: see `ExternalCallers.load_identity`.
        """
        return None if self.callers is None else await self.callers.load_identity(identity)

    def _proof(self, issuer: OidcSignIn) -> str:
        """What changes with the rules, which decide the roles."""
        return self.signer.proof(issuer.row.model_dump_json())


def is_administrator(identity: Identity) -> bool:
    """Return whether a person may see and change everything."""
    return ADMIN_ROLE in identity.roles


def issuers_of(settings: Settings, callers: ExternalCallers | None, signer: SessionSigner) -> Issuers:
    """Return the issuers of a deployment at which people may sign in."""
    identity = settings.config().identity
    rows = [] if identity is None or callers is None else [row for row in identity.oidc if row.console is not None]
    if not rows or callers is None:
        return Issuers(signer, {})
    from app.governance.identity.oidc_sign_in import OidcSignIn

    secrets = settings.client_secrets()
    made = {
        row.name: OidcSignIn(row, row.console, secrets.get(row.name, ""), callers.transport)
        for row in rows
        if row.console is not None
    }
    return Issuers(signer, made, callers)


def _reason(error: str) -> str:
    """Return an error code of OAuth, which the issuer's answer names."""
    return error if error.isascii() and error.isidentifier() and len(error) <= 64 else "it named no reason"
