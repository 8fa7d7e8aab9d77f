"""Builds what finds the caller of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.settings import Settings
from app.governance.identity.authenticator import Authenticator
from app.governance.identity.open_access import OpenAccess

if TYPE_CHECKING:
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.virtual_keys import KeyDirectory


def build_authenticator(
    settings: Settings, directory: KeyDirectory | None, external: ExternalCallers | None
) -> Authenticator:
    """Build the authenticator of a deployment.

    Args:
        directory: of virtual keys. external: finds callers by tokens and certificates.
    """
    open_access = OpenAccess(from_anywhere=settings.auth_disabled == "any") if settings.auth_disabled else None
    return Authenticator(
        settings.keys(),
        regions=_regions(settings),
        open_access=open_access,
        directory=directory,
        external=external,
    )


def _regions(settings: Settings) -> set[str]:
    """Return the regions whose Bedrock the gateway calls: its own, and those of the targets of routes."""
    targets = (target for route in settings.config().routes.values() for target in route.targets)
    return {settings.aws_region, *(target.region for target in targets if target.region)}
