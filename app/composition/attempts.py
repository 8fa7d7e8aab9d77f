"""Composes what wraps attempts: service tiers, limits of callers, quotas of Bedrock, and the guardrail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from app.composition.governance import Governance
from app.config.settings import Settings
from app.execution.attempt import Attempt
from app.governance.guardrail import Guardrail

if TYPE_CHECKING:
    from app.composition.quotas import BedrockQuotas


def guardrail_of(settings: Settings, *, reports: bool) -> Guardrail | None:
    """Return the guardrail of the deployment, if it has one. reports: have it report what is billed."""
    if not settings.guardrail_id:
        return None
    return Guardrail(settings.guardrail_id, settings.guardrail_version, reports=reports)


def govern(
    governance: Governance | None, quotas: BedrockQuotas | None, *, names_tiers: bool
) -> Callable[[Attempt], Attempt] | None:
    """Return what wraps attempts: service tiers, around limits of callers, around quotas of Bedrock.

    So no refused call waits for a quota, and limits count by the price of the tier.
    """
    wraps: list[Callable[[Attempt], Attempt]] = []
    if quotas is not None:
        wraps.append(quotas.wrap)
    if governance is not None:
        wraps.append(governance.govern)
    if names_tiers:
        from app.execution.tier_attempt import TierAttempt

        wraps.append(TierAttempt)
    return partial(_wrapped, wraps) if wraps else None


def _wrapped(wraps: Sequence[Callable[[Attempt], Attempt]], attempt: Attempt) -> Attempt:
    for wrap in wraps:
        attempt = wrap(attempt)
    return attempt
