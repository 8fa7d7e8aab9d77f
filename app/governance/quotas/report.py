"""What is shown of the pools: to administrators, and as metrics."""

from __future__ import annotations

from typing import Any

from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.pools import PoolKey, QuotaLimits, Quotas


def describe_pools(quotas: Quotas) -> list[dict[str, Any]]:
    """Return each pool that this process has used, as documents."""
    return [
        _described(key, pool, quotas.limits[key], is_day_spent=quotas.days.is_spent(key.location))
        for key, pool in quotas.pools.items()
    ]


def figures_of(quotas: Quotas) -> dict[str, dict[str, float]]:
    """Return the figures of each pool, by its name without the account. Pools of several accounts are added up."""
    found: dict[str, dict[str, float]] = {}
    for key, pool in quotas.pools.items():
        figures, limits = pool.figures, quotas.limits[key]
        values: dict[str, float] = {
            "limit_tokens_per_minute": limits.tokens_per_minute or limits.input_tokens_per_minute or 0,
            "waiting_calls": pool.waiting,
            "reserved_now_tokens": pool.reserved_now,
            "calls": figures.calls,
            "queued": figures.queued,
            "waited_seconds": figures.waited,
            "reserved_tokens": figures.reserved,
            "settled_tokens": figures.settled,
            "throttled": figures.throttled,
            "refused": figures.refused,
            "spilled": figures.spilled,
            "day_spent": float(quotas.days.is_spent(key.location)),
        }
        if pool.calibration is not None and pool.calibration.counted is not None:
            values["cloudwatch_tokens_per_minute"] = pool.calibration.counted
        shown = found.setdefault(_name(key), dict.fromkeys(values, 0.0) | {"learned_share": 1.0})
        for name, value in values.items():
            shown[name] = shown.get(name, 0.0) + value
        shown["learned_share"] = min(shown["learned_share"], pool.learned.factor)
    return found


def sources_of(quotas: Quotas) -> dict[str, str]:
    """Return where the limit of each pool comes from; of pools of several accounts, one."""
    return {_name(key): limits.source for key, limits in quotas.limits.items()}


def _described(key: PoolKey, pool: QuotaPool, limits: QuotaLimits, *, is_day_spent: bool) -> dict[str, Any]:
    figures, calibration = pool.figures, pool.calibration
    return {
        "object": "quota",
        "model": key.name,
        "location": key.location.name,
        "endpoint": "mantle" if key.is_mantle else "runtime",
        "source": limits.source,
        "tokens_per_minute": limits.tokens_per_minute,
        "requests_per_minute": limits.requests_per_minute,
        "input_tokens_per_minute": limits.input_tokens_per_minute,
        "output_tokens_per_minute": limits.output_tokens_per_minute,
        "target": limits.target,
        "learned_share": round(pool.learned.factor, 3),
        "output_burndown": pool.arithmetic.output_rate,
        "waiting": pool.waiting,
        "reserved_now": pool.reserved_now,
        "calls": figures.calls,
        "queued": figures.queued,
        "waited_seconds": round(figures.waited, 3),
        "reserved": figures.reserved,
        "settled": figures.settled,
        "throttled": figures.throttled,
        "refused": figures.refused,
        "spilled": figures.spilled,
        "is_day_spent": is_day_spent,
        "calibration": None
        if calibration is None or calibration.counted is None
        else {
            "cloudwatch_per_minute": round(calibration.counted),
            "settled_per_minute": round(calibration.settled or 0),
        },
        "teams": [
            {
                "id": team,
                "reserved": each.reserved,
                "settled": each.settled,
                "reserved_per_settled": round(each.reserved / each.settled, 2) if each.settled else None,
            }
            for team, each in figures.teams.items()
        ],
    }


def _name(key: PoolKey) -> str:
    """Name a pool without the account, the role or the address of an endpoint."""
    name = key.name.rpartition("/")[2] if key.name.startswith("arn:") else key.name
    return " ".join(filter(None, (name, key.location.region, "mantle" if key.is_mantle else "")))
