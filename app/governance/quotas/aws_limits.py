"""The limits of pools, from the quotas of the account at AWS."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from app.bedrock.service_quotas import ServiceQuota
from app.governance.quotas.pools import QuotaLimits
from app.models.catalog import CatalogEntry
from app.models.quota_names import ModelNames, QuotaName, parse_quota_name

_log = logging.getLogger(__name__)

_MEMBERS = {
    "tokens": "tokens_per_minute",
    "requests": "requests_per_minute",
    "mantle_input": "input_tokens_per_minute",
    "mantle_output": "output_tokens_per_minute",
}
_MAX_LISTED = 20


def limits_from_aws(
    quotas: Iterable[ServiceQuota], entries: Collection[CatalogEntry], region: str, role: str = ""
) -> dict[tuple[str, str, str], QuotaLimits]:
    """Return limits by the name of the model or inference profile, the region and the role.

    Args:
        quotas: of the region; of several for the same, the first counts. entries: the models of the account.
        role: by which an account is reached that is not the gateway's own.
    """
    names = ModelNames(entries)
    found: dict[tuple[str, str, str], QuotaLimits] = {}
    unknown: list[str] = []
    for quota in quotas:
        parsed = parse_quota_name(quota.code, quota.name)
        if parsed is None or quota.value < 1:
            continue
        if base := names.base_of(parsed):
            _add(found, [(name, region, role) for name in names.called_as(base, parsed.scope)], parsed, quota)
        else:
            unknown.append(quota.name)
    if unknown:
        fields = {"region": region, "count": len(unknown), "quotas": unknown[:_MAX_LISTED]}
        _log.info("quotas of AWS fit no model of this account, or several, and are not used", extra={"fields": fields})
    return found


def _add(
    found: dict[tuple[str, str, str], QuotaLimits],
    keys: Iterable[tuple[str, str, str]],
    parsed: QuotaName,
    quota: ServiceQuota,
) -> None:
    member = _MEMBERS[parsed.unit]
    for key in keys:
        limits = found.get(key, QuotaLimits(source=f"Service Quotas, {quota.source}"))
        if getattr(limits, member) is None:
            found[key] = replace(limits, **{member: int(quota.value)})
