"""Finds callers that have no key of this gateway: by tokens of OIDC issuers and AWS IAM, and by client certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from app.bedrock.transport import Transport
from app.governance.address_permits import AddressPermits
from app.governance.identity.caller import Caller
from app.governance.identity.claim_rules import Identity
from app.governance.identity.proxy_certificate import ProxyCertificates
from app.governance.identity.team_policies import TeamPolicies
from app.governance.identity.verified_tokens import VerifiedTokens

# permits, waiting requests, and seconds that they wait
_PERMITS = 8, 64, 1.0


class ExternalCallers(Struct, frozen=True):
    """Finds callers that have no key of this gateway. `load_*` wait for I/O, for less than two seconds.

    transport: on which issuers and STS are asked. certificates: None if no proxy reports any.
    permits: limits how many tokens of one client address are verified at once.
    """

    tokens: VerifiedTokens
    certificates: ProxyCertificates | None
    teams: TeamPolicies
    transport: Transport
    permits: AddressPermits = field(default_factory=lambda: AddressPermits(*_PERMITS))

    def accepts(self, token: str) -> bool:
        """True if a token has the form of one that can be verified."""
        return self.tokens.accepts(token)

    def find(self, digest: bytes) -> Caller | None:
        """Return the caller of a token, by its digest. None if it has to be verified, or its team to be loaded.

        Raises:
            AuthenticationFailed, PermissionRefused: see `VerifiedTokens.find` and `TeamPolicies.find`.
        """
        identity = self.tokens.find(digest)
        return self.teams.find(identity) if identity is not None else None

    async def load(self, token: str, digest: bytes, client: str) -> Caller:
        """Return the caller of a token.

        Args:
            client: the address of the client.

        Raises:
            AuthenticationFailed, PermissionRefused, Overloaded: see `TokenVerifier.verify` and `TeamPolicies.load`.
            GatewayBusy: too many tokens of the address are being verified.
        """
        return await self.load_identity(await self.identify(token, digest, client))

    async def identify(self, token: str, digest: bytes, client: str) -> Identity:
        """Return the identity of a token. Raises as `load` does, but for what concerns its team."""
        known = self.tokens.find(digest)
        if known is not None:
            return known
        async with self.permits.permit(client, ""):
            return await self.tokens.verify(token, digest)

    def find_certificate(self, scope: Mapping[str, Any]) -> Identity | None:
        """Return the identity of the certificate of a connection. See `ProxyCertificates.find`."""
        return self.certificates.find(scope) if self.certificates is not None else None

    async def load_identity(self, identity: Identity) -> Caller:
        """Return the caller of an identity. See `TeamPolicies.load`."""
        return self.teams.find(identity) or await self.teams.load(identity)

    async def close(self) -> None:
        """Stop all verifications, and close all connections."""
        await self.tokens.close()
        await self.transport.close()
