"""The pools of a deployment: which quota a call belongs to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from msgspec import Struct

from app.bedrock.endpoints import UpstreamLocation
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.calibration import Calibration
from app.governance.quotas.daily import DailyQuotas
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import Meter, Meters
from app.governance.quotas.pool import QuotaPool
from app.models.burndown import Burndown
from app.models.ids import ModelId

_MAX_SOURCES = 10_000


class QuotaLimits(Struct, frozen=True):
    """One quota. None where nothing is limited, or where it is not known.

    tokens_per_minute: of the runtime. input_tokens_per_minute, output_tokens_per_minute: of mantle.
    target: the share of the quota that is used. output_rate: see `models.burndown`; None for the table's.
    source: where the figures come from.
    """

    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    target: float = 0.93
    output_rate: int | None = None
    source: str = "configuration"

    def meters(self, *, is_mantle: bool) -> list[Meter]:
        """Return the meters of the runtime or of mantle; none if that has no quota."""
        if is_mantle:
            if self.input_tokens_per_minute is None or self.output_tokens_per_minute is None:
                return []
            return [
                Meter("input_tokens", self.input_tokens_per_minute, self.target),
                Meter("output_tokens", self.output_tokens_per_minute, self.target),
            ]
        if self.tokens_per_minute is None:
            return []
        meters = [Meter("tokens", self.tokens_per_minute, self.target)]
        if self.requests_per_minute is not None:
            meters.append(Meter("requests", self.requests_per_minute, self.target))
        return meters


class PoolKey(Struct, frozen=True):
    """What distinguishes quotas. name: of the model or inference profile."""

    name: str
    location: UpstreamLocation
    is_mantle: bool


class CallSource(Struct, frozen=True):
    """What the calls of one caller for one target have in common.

    pool: None if their quota is not known. flow: of calls that do not name their class, as the caller's policy says.
    longest_answer: tokens that Bedrock reserves for a call that sets no length.
    """

    pool: QuotaPool | None
    flow: Flow
    longest_answer: int


class Quotas:
    """All pools; each is made when a call needs it. days: the quotas of tokens per day.

    spent_days: the locations whose tokens of the day are spent.
    sources: of calls, until limits change; by all that they depend on. There are none while the tokens of a day are
    spent, which each call has to ask then.

    Args:
        limits: by the name of the model or inference profile and the region; an empty region is any.
        region: the gateway's own. share: makes the meters of a pool, by its key, of those for the whole quota.
        clock: that of the event loop. is_calibrated: CloudWatch is read for the pools of the runtime.
    """

    def __init__(
        self,
        limits: Mapping[tuple[str, str], QuotaLimits],
        region: str,
        share: Callable[[PoolKey, Sequence[Meter]], Meters],
        clock: Callable[[], float],
        burndown: Burndown | None = None,
        *,
        is_calibrated: bool = False,
    ) -> None:
        self._configured = dict(limits)
        self._found: dict[tuple[str, str, str], QuotaLimits] = {}
        self._region = region
        self._share = share
        self._clock = clock
        self._is_calibrated = is_calibrated
        self._burndown = burndown or Burndown()
        self.days = DailyQuotas(clock)
        self.spent_days = self.days.probe_at
        self.sources: dict[Hashable, CallSource] = {}
        self.pools: dict[PoolKey, QuotaPool] = {}
        self.limits: dict[PoolKey, QuotaLimits] = {}

    def pool_of(
        self, called: ModelId, behind: ModelId, location: UpstreamLocation, *, is_mantle: bool
    ) -> QuotaPool | None:
        """Return the pool of a call; None if its quota is not known.

        Args:
            called: the model as it is called. behind: the model that an ARN hides, else the same.
        """
        for name in _names(called, behind, is_mantle=is_mantle):
            key = PoolKey(name, location, is_mantle)
            if key in self.pools:
                return self.pools[key]
            limits = self._limits_of(key, self._found)
            if limits is not None and (meters := limits.meters(is_mantle=is_mantle)):
                return self._make(key, limits, meters, _base(called, behind))
        return None

    def keep(self, key: Hashable, source: CallSource) -> None:
        """Keep the source of a call in `sources`."""
        if self.spent_days:
            return
        if len(self.sources) >= _MAX_SOURCES:
            self.sources.clear()
        self.sources[key] = source

    def note_day(self, location: UpstreamLocation, error: Exception | None) -> None:
        """Note what the outcome of a call tells of the tokens per day; see `DailyQuotas.note`."""
        self.days.note(location, error)
        if self.spent_days:
            self.sources.clear()

    def set_found(self, found: Mapping[tuple[str, str, str], QuotaLimits]) -> None:
        """Replace the limits that were read from AWS, by the name of the model, region and role.

        Pools that exist keep theirs until they change.
        """
        for key, pool in list(self.pools.items()):
            before, after = self.limits[key], self._limits_of(key, found)
            if after is not None and after != before and not pool.waiting:
                del self.pools[key], self.limits[key]
        self._found = dict(found)
        self.sources.clear()

    async def close(self) -> None:
        """Stop serving the queues."""
        for pool in self.pools.values():
            await pool.close()

    def _make(self, key: PoolKey, limits: QuotaLimits, meters: Sequence[Meter], base: str) -> QuotaPool:
        rate = 1 if key.is_mantle else limits.output_rate or self._burndown.rate(base)
        arithmetic = Arithmetic(rate, key.is_mantle, limits.requests_per_minute is not None and not key.is_mantle)
        shown = " ".join([key.name, key.location.name, "mantle" if key.is_mantle else ""]).strip()
        pool = QuotaPool(shown, self._share(key, meters), arithmetic, self._clock)
        pool.calibration = Calibration() if self._is_calibrated and not key.is_mantle else None
        self.pools[key], self.limits[key] = pool, limits
        return pool

    def _limits_of(self, key: PoolKey, found: Mapping[tuple[str, str, str], QuotaLimits]) -> QuotaLimits | None:
        region, role = key.location.region or self._region, key.location.role
        own = self._configured.get((key.name, region)), self._configured.get((key.name, ""))
        for limits in (*own, found.get((key.name, region, role))):
            if limits is not None and limits.meters(is_mantle=key.is_mantle):
                return limits
        return None


def _names(called: ModelId, behind: ModelId, *, is_mantle: bool) -> Iterable[str]:
    """Return the names by which the quota of a call may be known, the most exact one first."""
    yield called.raw
    for model in (called, behind):
        if model.is_opaque:
            continue
        if model is behind and called.is_opaque and not called.is_billed_as_model:
            continue  # provisioned capacity has no such quota
        yield model.base if is_mantle or not model.geography else f"{model.geography}.{model.base}"


def _base(called: ModelId, behind: ModelId) -> str:
    return behind.base if called.is_opaque else called.base
