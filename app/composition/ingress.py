"""The limits that apply to a request before its handler runs, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.config.settings import SMOKE, Settings
from app.dialects.http.endpoint import IngressLimits
from app.governance.address_permits import AddressPermits
from app.governance.admission import Admission, Reserve
from app.governance.held_bytes import ByteLimit
from app.governance.identity.authenticator import Authenticator
from app.governance.identity.failed_attempts import FailedAttempts
from app.governance.per_caller import PerCaller
from app.observability.metrics import Metrics
from app.server.worker_counters import CallerCounters, WorkerCounters

T = TypeVar("T")

# counters that all virtual keys share: two that are busy have the same one in few cases
_VIRTUAL_KEYS = 64
# bytes a second: the slowest line on which the body of an unverified request may arrive
_UNVERIFIED_PACE = 128 * 1024


def counted_callers(settings: Settings) -> int:
    """Return for how many callers the worker processes count together."""
    return len(settings.keys()) + (_VIRTUAL_KEYS if _has_virtual_keys(settings) else 0)


def build_ingress_limits(
    settings: Settings, counters: WorkerCounters, metrics: Metrics, authenticator: Authenticator
) -> IngressLimits:
    """Build the limits. counters: what this worker process counts with the others."""
    unverified_bytes = max(settings.max_bodies_bytes // 2, settings.max_body_bytes)
    unverified_permits = max(settings.max_in_flight // 10, 1)
    listed, others = _limited_callers(settings, counters.callers)
    queue = settings.max_waiting, settings.max_wait

    def of_each(value_of: Callable[[CallerCounters], T]) -> dict[str, T]:
        own = {name: value_of(each) for name, each in listed.items()}
        return PerCaller(own, [value_of(each) for each in others]) if others else own

    return IngressLimits(
        authenticator=authenticator,
        admission=Admission(
            settings.max_in_flight,
            *queue,
            counters.gateway.admission,
            _reserves(settings, counters.callers),
        ),
        unverified=Admission(unverified_permits, *queue, counters.gateway.unverified),
        unverified_of_each=of_each(
            lambda each: Admission(max(unverified_permits // 2, 1), *queue, each.unverified),
        ),
        # half of the permits of one name
        address_permits=AddressPermits(max(unverified_permits // 4, 1), *queue),
        failed_attempts=FailedAttempts(),
        bodies=ByteLimit(
            settings.max_bodies_bytes,
            counters.gateway.body_bytes,
            _half(settings, settings.max_bodies_bytes),
            of_each(lambda each: each.body_bytes),
        ),
        responses=ByteLimit(
            settings.max_unsent_bytes,
            counters.gateway.response_bytes,
            settings.max_unsent_bytes // 2,
            of_each(lambda each: each.response_bytes),
            of="responses",
        ),
        unverified_bodies=ByteLimit(
            unverified_bytes,
            counters.gateway.unverified_body_bytes,
            _half(settings, unverified_bytes),
            of_each(lambda each: each.unverified_body_bytes),
            _UNVERIFIED_PACE,
        ),
        max_body_bytes=settings.max_body_bytes,
        caller_timeout=settings.caller_timeout,
        total_timeout=settings.bedrock_total_timeout,
        heartbeat=settings.heartbeat_interval,
        note_gap=metrics.note_gap,
        exposes_aws_identity=settings.expose_aws_identity,
        default_models=frozenset({settings.bedrock_model_id, settings.embedding_model_id or ""}),
    )


def _half(settings: Settings, limit: int) -> int:
    return max(limit // 2, settings.max_body_bytes)


def _has_virtual_keys(settings: Settings) -> bool:
    return settings.database_url is not None and not settings.auth_disabled


def _counters(settings: Settings, counters: list[CallerCounters]) -> list[CallerCounters]:
    """Return the counters of the keys in API_KEYS, and then those of virtual keys."""
    return counters or [CallerCounters() for _ in range(counted_callers(settings))]


def _reserves(settings: Settings, counters: list[CallerCounters]) -> dict[str, Reserve]:
    """Divide half of the permits equally between the callers, if there are several. The smoke test has one permit.

    All virtual keys together count as one caller. They share what is not reserved, of which each caller gets half then.
    """
    names, has_virtual_keys = [*settings.keys()], _has_virtual_keys(settings)
    if len(names) < 2 and not has_virtual_keys:
        return {}
    callers = len([name for name in names if name != SMOKE]) + has_virtual_keys
    permits = max(settings.max_in_flight // (2 * callers), 1)
    largest = max(settings.max_in_flight // 2, 1) if has_virtual_keys else 0
    counted = _counters(settings, counters)
    reserves = {
        name: Reserve(1 if name == SMOKE else permits, each.reserve, largest)
        for name, each in zip(names, counted, strict=False)
    }
    others = [Reserve(0, each.reserve, largest) for each in counted[len(names) :]]
    return PerCaller(reserves, others) if others else reserves


def _limited_callers(
    settings: Settings, counters: list[CallerCounters]
) -> tuple[dict[str, CallerCounters], list[CallerCounters]]:
    """Return the counters of the callers that must leave half of each limit to others; a single caller need not.

    Returns those of keys in API_KEYS, by name, and those that virtual keys share.
    """
    names, has_virtual_keys = [*settings.keys()], _has_virtual_keys(settings)
    if len(names) < 2 and not has_virtual_keys:
        return {}, []
    counted = _counters(settings, counters)
    by_name = dict(zip(names, counted, strict=False))
    callers = [name for name in names if name != SMOKE]
    if len(callers) == 1 and not has_virtual_keys:
        del by_name[callers[0]]
    return by_name, counted[len(names) :]
