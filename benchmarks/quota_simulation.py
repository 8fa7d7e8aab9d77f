"""Traffic against one quota of Bedrock, through the gateway's own pools, in virtual time.

The upstream is the emulator's quota: it reserves input and `max_tokens`, settles by burndown and throttles.
"""

import asyncio
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from app.bedrock.endpoints import DEFAULT_LOCATION
from app.converse.usage import Usage
from app.emulator.quotas import Pool
from app.errors import QuotaBusy
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import LocalMeters, Meter
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.pools import PoolKey, QuotaLimits, Quotas
from app.governance.quotas.reservation import QuotaCall
from app.models.burndown import Burndown
from app.models.ids import parse_model_id
from benchmarks import virtual_time
from benchmarks.quota_traffic import RecordedCall

_BYTES_PER_TOKEN = 4
_RETRY_SECONDS = 1.0
_MAX_RETRIES = 2


@dataclass(frozen=True)
class Team:
    """Callers of one team; each sends its next call when the last one has ended.

    input, output: tokens of a call; each call draws its output around it. max_tokens: that calls ask for.
    cached: the part of the input that is read from a cache. pause: seconds between two calls.
    """

    name: str
    callers: int
    input: int = 200
    output: int = 40
    max_tokens: int = 300
    cached: float = 0.0
    pause: float = 0.0
    weight: float = 1.0
    is_batch: bool = False


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    per_minute: the quota as it is configured. real_share: the part of it that is really there.
    output_rate: tokens of the quota for an output token. seconds_per_token, first_seconds: how fast the model answers.
    surprise: from a time on, outputs are so many times as long. bursts: all callers begin together each so many seconds.
    regions: targets of a route, each with such a quota. calls: sent at their times, beside those of the teams.
    """

    teams: tuple[Team, ...]
    per_minute: int = 180_000
    target: float = 0.93
    seconds: float = 40.0
    replicas: int = 2
    real_share: float = 1.0
    burst_seconds: float = 10.0
    output_rate: int = 5
    first_seconds: float = 0.4
    seconds_per_token: float = 0.005
    surprise_at: float = float("inf")
    surprise: float = 5.0
    bursts: float = 0.0
    max_wait: float = 30.0
    spill_wait: float = 2.0
    regions: int = 1
    calls: tuple[RecordedCall, ...] = ()
    is_paced: bool = True
    seed: int = 1


@dataclass
class TeamResult:
    """What a team got. seconds: of the calls that succeeded, their waits included."""

    sent: int = 0
    succeeded: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)
    reserved: int = 0
    settled: int = 0

    @property
    def median(self) -> float:
        """The median of the seconds that a successful call took."""
        return statistics.median(self.seconds) if self.seconds else float("inf")


@dataclass
class Result:
    """What a scenario led to. attempts, throttled: requests to the upstream."""

    scenario: Scenario
    attempts: int = 0
    throttled: int = 0
    settled: int = 0
    teams: dict[str, TeamResult] = field(default_factory=dict)

    @property
    def served(self) -> float:
        """The part of what the quota's rate allows that was used, bursts not counted."""
        scenario = self.scenario
        quota = scenario.per_minute * scenario.real_share * scenario.regions
        return self.settled / (quota * scenario.seconds / 60)

    @property
    def throttled_share(self) -> float:
        """The part of the attempts that was throttled."""
        return self.throttled / max(self.attempts, 1)


class _Simulation:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.result = Result(scenario, teams={team.name: TeamResult() for team in scenario.teams})
        real = int(scenario.per_minute * scenario.real_share)
        burst = real * scenario.burst_seconds / 60
        self._upstreams = [Pool(real, burst, burst, 0.0) for _ in range(scenario.regions)]
        self._pools = [[self._pool() for _ in range(scenario.regions)] for _ in range(scenario.replicas)]
        self._random = random.Random(scenario.seed)  # noqa: S311
        self._turn = 0

    def _pool(self) -> QuotaPool:
        scenario = self.scenario
        limits = QuotaLimits(scenario.per_minute, target=scenario.target, output_rate=scenario.output_rate)

        def share(_: PoolKey, meters: Sequence[Meter]) -> LocalMeters:
            parts = [replace(meter, per_minute=meter.per_minute // scenario.replicas) for meter in meters]
            return LocalMeters(parts, virtual_time.now)

        quotas = Quotas({("x.model", ""): limits}, "us-east-1", share, virtual_time.now, Burndown())
        model = parse_model_id("x.model")
        pool = quotas.pool_of(model, model, DEFAULT_LOCATION, is_mantle=False)
        if pool is None:
            raise RuntimeError("the quota has no pool")
        return pool

    async def run(self) -> Result:
        """Run all callers until the time is over."""
        callers = [
            asyncio.create_task(self._caller(team, f"{team.name}-{number}"))
            for team in self.scenario.teams
            for number in range(team.callers)
        ]
        callers.append(asyncio.create_task(self._replay(callers)))
        await asyncio.sleep(self.scenario.seconds)
        self.result.settled = sum(upstream.settled for upstream in self._upstreams)
        self.result.throttled = sum(upstream.throttled for upstream in self._upstreams)
        self.result.attempts = sum(upstream.calls for upstream in self._upstreams) + self.result.throttled
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        for pools in self._pools:
            for pool in pools:
                await pool.close()
        return self.result

    async def _replay(self, tasks: list[asyncio.Task[None]]) -> None:
        """Send recorded calls at their times; a refused one is sent again."""
        for call in self.scenario.calls:
            await asyncio.sleep(max(call.at - virtual_time.now(), 0.0))
            tasks.append(asyncio.create_task(self._send_recorded(call)))

    async def _send_recorded(self, call: RecordedCall) -> None:
        got = self.result.teams.setdefault(call.team, TeamResult())
        total = call.input + call.cached
        team = Team(call.team, 1, total, call.output, call.max_tokens, call.cached / max(total, 1))
        started = virtual_time.now()
        got.sent += 1
        while (retry_after := await self._call(team, Flow(call.team, call.key), got, call.output)) is not None:
            got.refused += 1
            await asyncio.sleep(retry_after)
        got.succeeded += 1
        got.seconds.append(virtual_time.now() - started)

    async def _caller(self, team: Team, key: str) -> None:
        scenario, got = self.scenario, self.result.teams[team.name]
        flow = Flow(team.name, key, team.weight, team.is_batch)
        while True:
            if scenario.bursts:
                await asyncio.sleep(scenario.bursts - virtual_time.now() % scenario.bursts)
            started = virtual_time.now()
            got.sent += 1
            retry_after = await self._call(team, flow, got, self._output(team))
            if retry_after is None:
                got.succeeded += 1
                got.seconds.append(virtual_time.now() - started)
                await asyncio.sleep(team.pause)
            else:
                got.refused += 1
                await asyncio.sleep(retry_after)

    async def _call(self, team: Team, flow: Flow, got: TeamResult, output: int) -> float | None:
        """Make one call, with retries after throttles; return the seconds after which to try again if it fails."""
        self._turn += 1
        pools = self._pools[self._turn % len(self._pools)]
        call = QuotaCall(flow, team.input * _BYTES_PER_TOKEN, team.max_tokens)
        for attempt in range(_MAX_RETRIES + 1):
            region = self._region(pools, call)
            pool, upstream = pools[region], self._upstreams[region]
            if not self.scenario.is_paced:
                if await self._send(upstream, team, output, got) is not None:
                    return None
            else:
                try:
                    reservation = await pool.acquire(call, self.scenario.max_wait)
                except QuotaBusy as error:
                    return error.retry_after
                usage = await self._send(upstream, team, output, got)
                if usage is not None:
                    reservation.settle(usage)
                    return None
                reservation.throttled(None)
            await asyncio.sleep(_RETRY_SECONDS * self._random.random() * 2**attempt / 2)
        return _RETRY_SECONDS

    def _region(self, pools: list[QuotaPool], call: QuotaCall) -> int:
        """Return the first region, or where a call starts earlier if it would wait there."""
        waits = [pool.outlook(call) for pool in pools] if len(pools) > 1 else [0.0]
        return 0 if waits[0] <= self.scenario.spill_wait else waits.index(min(waits))

    def _output(self, team: Team) -> int:
        factor = self.scenario.surprise if virtual_time.now() >= self.scenario.surprise_at else 1.0
        return min(max(int(self._random.gammavariate(4, team.output / 4) * factor), 1), team.max_tokens)

    async def _send(self, upstream: Pool, team: Team, output: int, got: TeamResult) -> Usage | None:
        """Send a call upstream; None if it is throttled."""
        reserved = team.input + team.max_tokens
        if not upstream.take(reserved, virtual_time.now()):
            await asyncio.sleep(0.01)
            return None
        await asyncio.sleep(self.scenario.first_seconds + output * self.scenario.seconds_per_token)
        read = int(team.input * team.cached)
        used = team.input - read + output * self.scenario.output_rate
        upstream.settle(reserved, used, virtual_time.now())
        got.reserved += reserved
        got.settled += used
        return Usage(input=team.input - read, output=output, cache_read=read)


def simulate(scenario: Scenario) -> Result:
    """Run a scenario."""

    async def main() -> Result:
        return await _Simulation(scenario).run()

    return virtual_time.run(main())


FLOOD = (Team("flood", 48), Team("small", 2, pause=0.5))


def scenarios(change: Callable[[Scenario], Scenario] = lambda each: each) -> dict[str, Scenario]:
    """Return the scenarios of the project's goals: a flood beside a small team, and what goes wrong meanwhile."""
    plain = change(Scenario(FLOOD))
    return {
        "flood": plain,
        "outputs five times as long": replace(plain, surprise_at=15.0),
        "half of the quota": replace(plain, real_share=0.5),
        "bursts": replace(plain, bursts=5.0),
        "unpaced": replace(plain, is_paced=False),
    }
