"""The limits that apply to a request before its handler runs, from the settings."""

from app.config.settings import SMOKE, Settings
from app.dialects.http.endpoint import IngressLimits
from app.governance.address_permits import AddressPermits
from app.governance.admission import Admission, Reserve
from app.governance.held_bytes import ByteLimit
from app.governance.identity.authenticator import Authenticator
from app.governance.identity.failed_attempts import FailedAttempts
from app.governance.identity.open_access import OpenAccess
from app.observability.metrics import Metrics
from app.server.worker_counters import CallerCounters, WorkerCounters

# bytes a second: the slowest line on which the body of an unverified request may arrive
_UNVERIFIED_PACE = 128 * 1024


def build_ingress_limits(settings: Settings, counters: WorkerCounters, metrics: Metrics) -> IngressLimits:
    """Build the limits. counters: what this worker process counts with the others."""
    unverified_bytes = max(settings.max_bodies_bytes // 2, settings.max_body_bytes)
    unverified_permits = max(settings.max_in_flight // 10, 1)
    by_name = _by_name(settings, counters.callers)
    queue = settings.max_waiting, settings.max_wait
    return IngressLimits(
        authenticator=Authenticator(settings.keys(), regions=_regions(settings), open_access=_open_access(settings)),
        admission=Admission(
            settings.max_in_flight,
            *queue,
            counters.gateway.admission,
            _reserves(settings, counters.callers),
        ),
        unverified=Admission(unverified_permits, *queue, counters.gateway.unverified),
        unverified_of_each={
            name: Admission(max(unverified_permits // 2, 1), *queue, each.unverified) for name, each in by_name.items()
        },
        # half of the permits of one name
        address_permits=AddressPermits(max(unverified_permits // 4, 1), *queue),
        failed_attempts=FailedAttempts(),
        bodies=ByteLimit(
            settings.max_bodies_bytes,
            counters.gateway.body_bytes,
            _half(settings, settings.max_bodies_bytes),
            {name: each.body_bytes for name, each in by_name.items()},
        ),
        responses=ByteLimit(
            settings.max_unsent_bytes,
            counters.gateway.response_bytes,
            settings.max_unsent_bytes // 2,
            {name: each.response_bytes for name, each in by_name.items()},
            of="responses",
        ),
        unverified_bodies=ByteLimit(
            unverified_bytes,
            counters.gateway.unverified_body_bytes,
            _half(settings, unverified_bytes),
            {name: each.unverified_body_bytes for name, each in by_name.items()},
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


def _regions(settings: Settings) -> set[str]:
    """Return the regions whose Bedrock the gateway calls: its own, and those of the targets of routes."""
    targets = (target for route in settings.config().routes.values() for target in route.targets)
    return {settings.aws_region, *(target.region for target in targets if target.region)}


def _open_access(settings: Settings) -> OpenAccess | None:
    return OpenAccess(from_anywhere=settings.auth_disabled == "any") if settings.auth_disabled else None


def _half(settings: Settings, limit: int) -> int:
    return max(limit // 2, settings.max_body_bytes)


def _reserves(settings: Settings, counters: list[CallerCounters]) -> dict[str, Reserve]:
    """Divide half of the permits equally between the callers, if there are several. The smoke test has one permit."""
    names = [*settings.keys()]
    if len(names) < 2:
        return {}
    callers = len([name for name in names if name != SMOKE])
    permits = max(settings.max_in_flight // (2 * callers), 1)
    return {
        name: Reserve(1 if name == SMOKE else permits, each.reserve)
        for name, each in zip(names, counters or [CallerCounters() for _ in names], strict=True)
    }


def _by_name(settings: Settings, counters: list[CallerCounters]) -> dict[str, CallerCounters]:
    """Return the counters of the callers that must leave half of each limit to others; a single caller need not."""
    names = [*settings.keys()]
    if len(names) < 2:
        return {}
    by_name = dict(zip(names, counters or [CallerCounters() for _ in names], strict=True))
    callers = [name for name in names if name != SMOKE]
    if len(callers) == 1:
        del by_name[callers[0]]
    return by_name
