"""Builds what finds callers by tokens and certificates, where the configuration file has `[identity]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from app.bedrock.transport import Transport
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.team_policies import Teams
    from app.governance.identity.verified_tokens import TokenVerifier
    from app.server.client_address import TrustedProxies
    from app.storage.database import Database

_CONNECT_SECONDS, _READ_SECONDS = 3.0, 5.0


def build_external_callers(
    settings: Settings,
    database: Database | None,
    directory: Teams | None,
    proxies: TrustedProxies | None,
    transport: Transport | None = None,
) -> ExternalCallers | None:
    """Build what finds callers by tokens and certificates; None if the configuration file does not ask for it.

    Args:
        transport: to issuers and STS; by default a new one.

    Raises:
        SettingsError: it needs a setting that is missing.
    """
    row = settings.config().identity
    if row is None or not (row.oidc or row.iam or row.mtls):
        return None
    if database is None or directory is None:
        raise SettingsError(["DATABASE_URL is not set: [identity] of the configuration file needs it, for the teams"])
    # only deployments with these tables load it
    from app.bedrock.http1.transport import Http1Transport
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.team_policies import TeamPolicies
    from app.governance.identity.verified_tokens import VerifiedTokens

    transport = transport or Http1Transport(_CONNECT_SECONDS, _READ_SECONDS, settings.aws_ca_bundle)
    verifiers: list[TokenVerifier] = []
    if row.oidc:
        from app.governance.identity.oidc import OidcVerifier

        verifiers.append(OidcVerifier(row.oidc, transport))
    if row.iam is not None:
        from app.governance.identity.iam import IamVerifier

        verifiers.append(IamVerifier(row.iam, settings.aws_region, transport))
    certificates = None
    if row.mtls is not None:
        if proxies is None or proxies.is_everyone:
            raise SettingsError(
                ["FORWARDED_ALLOW_IPS must list the addresses of the proxies that verify certificates: [identity.mtls]"]
            )
        from app.governance.identity.proxy_certificate import ProxyCertificates

        certificates = ProxyCertificates(row.mtls, proxies)
    return ExternalCallers(VerifiedTokens(verifiers), certificates, TeamPolicies(database, directory), transport)
