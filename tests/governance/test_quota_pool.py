"""One quota and the calls that wait for it, in virtual time."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import Coroutine
from typing import Any

import pytest

from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.converse.usage import Usage
from app.errors import QuotaBusy
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import LocalMeters
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.pools import QuotaLimits, Quotas
from app.governance.quotas.report import describe_pools, figures_of
from app.governance.quotas.reservation import QuotaCall, Reservation
from app.models.burndown import Burndown
from app.models.ids import parse_model_id
from app.observability.metrics import QUOTA_FIGURES
from benchmarks import virtual_time
from benchmarks.quota_simulation import FLOOD, Scenario, Team, scenarios, simulate

MODEL = parse_model_id("us.anthropic.claude-sonnet-5")
# with outputs of 10 tokens at the rate 10, a call of 400 bytes takes about 200 tokens: two a second
LIMITS = QuotaLimits(24_000, target=1.0)


def quotas_of(**limits: QuotaLimits) -> Quotas:
    rows = {(MODEL.raw, region.replace("_", "-")): each for region, each in limits.items()} or {(MODEL.raw, ""): LIMITS}
    return Quotas(
        rows, "us-east-1", lambda _, meters: LocalMeters(meters, virtual_time.now), virtual_time.now, Burndown()
    )


def pool_of(quotas: Quotas) -> QuotaPool:
    pool = quotas.pool_of(MODEL, MODEL, DEFAULT_LOCATION, is_mantle=False)
    assert pool is not None
    return pool


def call_of(team: str = "a", *, is_batch: bool = False) -> QuotaCall:
    return QuotaCall(Flow(team, team, is_batch=is_batch), 400, 10)


def acquire_now(pool: QuotaPool) -> Reservation | None:
    call = call_of()
    return pool.acquire_now(call.flow, call.size, call.max_tokens)


async def made(pool: QuotaPool, call: QuotaCall, max_wait: float = 30.0, seconds: float = 0.2) -> Reservation:
    reservation = await pool.acquire(call, max_wait)
    await asyncio.sleep(seconds)
    reservation.settle(Usage(input=100, output=10))
    return reservation


def run(main: Coroutine[Any, Any, None]) -> None:
    virtual_time.run(main)


def test_calls_that_fit_do_not_wait_and_the_others_start_evenly() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        started = await asyncio.gather(*[made(pool, call_of()) for _ in range(10)])
        waits = sorted(reservation.waited for reservation in started)
        assert waits[0] == 0.0
        gaps = [later - earlier for earlier, later in itertools.pairwise(waits[2:])]
        assert max(gaps) < 1.0
        assert waits[-1] == pytest.approx(4.5, abs=0.6)
        assert pool.waiting == 0
        await pool.close()

    run(main())


def test_a_reservation_ends_once() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        reservation = await pool.acquire(call_of(), 1.0)
        reservation.settle(Usage(input=100, output=10))
        next_start = pool.meters.next_start()
        reservation.settle(Usage(input=5_000, output=10))
        reservation.release()
        assert (reservation.reserved, reservation.settled) == (221, 200)
        assert (pool.reserved_now, pool.figures.settled, pool.meters.next_start()) == (0, 200, next_start)
        await pool.close()

    run(main())


def test_ended_calls_are_settled_together_and_soon() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(10**9, target=1.0)))

        async def make(count: int) -> None:
            for _ in range(count):
                reservation = acquire_now(pool)
                assert reservation is not None
                reservation.settle(Usage(input=100, output=10))

        await asyncio.sleep(1)  # from then on a burst may start
        await make(150)
        before = pool.settled_calls
        assert 100 <= before <= 150
        await asyncio.sleep(0.3)
        assert pool.settled_calls == 150, "the rest is settled without another call"
        await make(1)
        assert pool.settled_calls == 150
        assert pool.figures.settled == 151 * 200, "who looks sees all"
        await pool.close()

    run(main())


@pytest.mark.parametrize("requests_per_minute", [None, 10**7])
def test_what_calls_hold_is_given_back_however_they_end(requests_per_minute: int | None) -> None:
    """Also by a pool that takes from its only meter directly, and by one that has several."""

    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(10**9, requests_per_minute, target=1.0)))
        meters = pool.meters
        assert isinstance(meters, LocalMeters)
        assert (meters.only is None) is (requests_per_minute is not None)
        await asyncio.sleep(1)  # from then on a burst may start
        usage = Usage(input=100, output=10)
        for number in range(450):
            reservation = acquire_now(pool)
            assert reservation is not None
            if number % 3 == 2:
                reservation.release()
            else:
                reservation.settle(None if number % 3 else usage)
        assert pool.figures.calls == 450
        assert pool.figures.settled > 150 * 200
        assert [meter.reserved for meter in meters.meters] == [0] * len(meters.meters)
        last = acquire_now(pool)
        assert last is not None
        last.throttled(None)
        assert acquire_now(pool) is None, "Bedrock has no room"
        assert [meter.reserved for meter in meters.meters] == [0] * len(meters.meters)
        await pool.close()

    run(main())


def test_the_answers_of_keys_that_take_turns_are_all_learned_from() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(10**12, target=1.0)))
        await asyncio.sleep(1)  # from then on a burst may start
        keys = [f"key-{number}" for number in range(4)]
        for number in range(3000):
            key, output = keys[number % 4], 10 if number < 200 else 1000 * (number % 4 + 1)
            reservation = pool.acquire_now(Flow("a", key), 400, 5000)
            assert reservation is not None
            reservation.settle(Usage(input=100, output=output))
            await asyncio.sleep(0.01)
        rate = pool.arithmetic.output_rate
        learned = [pool.estimates.first_need(key, 1, 5000)[1] / rate for key in keys]
        assert learned == pytest.approx([1000, 2000, 3000, 4000], rel=0.05)
        await pool.close()

    run(main())


def test_what_ended_calls_give_back_is_there_for_the_next_one() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(60_000, target=1.0)))
        call = QuotaCall(call_of().flow, 400, 40_000)
        for number in range(150):
            reservation = await pool.acquire(call, 30.0)
            assert reservation.waited == 0.0 or number < 100, "one after the other fits"
            reservation.settle(Usage(input=10, output=1))
            # less than the time after which ended calls are settled, and enough for the next start
            await asyncio.sleep(0.04)
        await pool.close()

    run(main())


def test_a_call_that_cannot_start_in_time_is_refused_at_once_and_told_when_to_come_back() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        waiting = [asyncio.create_task(made(pool, call_of())) for _ in range(40)]
        await asyncio.sleep(0.1)
        before = virtual_time.now()
        with pytest.raises(QuotaBusy) as refused:
            await pool.acquire(call_of(), 5.0)
        assert virtual_time.now() == before
        retry_after = refused.value.retry_after
        assert retry_after is not None
        assert 8 < retry_after < 20, "about 22 seconds of calls wait, and 5 would be waited"
        await asyncio.sleep(retry_after)
        await pool.acquire(call_of(), 5.0 + 2.0)
        await asyncio.gather(*waiting)
        await pool.close()

    run(main())


def test_a_call_whose_time_is_over_is_not_told_to_wait_for_itself() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(60_000, target=1.0)))
        await asyncio.sleep(1)  # from then on a burst may start
        running = await pool.acquire(QuotaCall(Flow("b", "b"), 400, 50_000), 1.0)
        call = QuotaCall(Flow("a", "a"), 30_000, 10_000)
        waiting = asyncio.create_task(pool.acquire(call, 15.0))
        with pytest.raises(QuotaBusy) as refused:
            await waiting
        retry_after = refused.value.retry_after
        assert retry_after == max(math.ceil(pool.outlook(call)), 1)
        running.release()
        await pool.close()

    run(main())


def test_refusals_are_true() -> None:
    """No call that is refused could have started in time: the same queue without the bound would have started it later."""

    async def start_of(max_wait: float) -> float | None:
        pool = pool_of(quotas_of())
        for _ in range(3):
            pool.estimates.note("a", 400, Usage(input=100, output=10))
        flood = [asyncio.create_task(made(pool, call_of(f"f{number % 3}"))) for number in range(30)]
        await asyncio.sleep(1.0)
        began = virtual_time.now()
        try:
            await pool.acquire(call_of("f1"), max_wait)
        except QuotaBusy:
            return None
        finally:
            waited = virtual_time.now() - began
            for task in flood:
                task.cancel()
            await asyncio.gather(*flood, return_exceptions=True)
            await pool.close()
        return waited

    needed = virtual_time.run(start_of(1000.0))
    assert needed is not None
    assert needed > 5
    assert virtual_time.run(start_of(needed * 1.1)) is not None
    assert virtual_time.run(start_of(needed * 0.7)) is None


def test_a_caller_that_leaves_leaves_the_queue() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        tasks = [asyncio.create_task(made(pool, call_of())) for _ in range(20)]
        await asyncio.sleep(0.1)
        waiting = pool.waiting
        for task in tasks[5:]:
            task.cancel()
        await asyncio.gather(*tasks[5:], return_exceptions=True)
        assert waiting > pool.waiting > 0
        last = await made(pool, call_of())
        assert last.waited < 4
        await asyncio.gather(*tasks[:5])
        await pool.close()

    run(main())


def test_what_was_granted_to_a_caller_that_left_is_free_again() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        for _ in range(200):
            task = asyncio.create_task(pool.acquire(call_of(), 30.0))
            await asyncio.sleep(0.5)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await task).release()
        meters = pool.meters
        assert isinstance(meters, LocalMeters)
        assert meters.meters[0].reserved == 0
        await pool.close()

    run(main())


def test_a_stream_that_waits_is_kept_alive() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        tasks = [asyncio.create_task(made(pool, call_of())) for _ in range(30)]
        await asyncio.sleep(0.1)
        beats: list[float] = []

        async def beat() -> None:
            beats.append(virtual_time.now())

        await pool.acquire(call_of(), 30.0, on_wait=beat, wait_step=2.0)
        assert len(beats) >= 5
        assert beats[1] - beats[0] == pytest.approx(2.0)
        await asyncio.gather(*tasks)
        await pool.close()

    run(main())


def test_interactive_calls_go_before_batch_calls() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        batch = [asyncio.create_task(made(pool, call_of(is_batch=True))) for _ in range(20)]
        await asyncio.sleep(0.1)
        now = await asyncio.gather(*[made(pool, call_of()) for _ in range(5)])
        assert max(reservation.waited for reservation in now) < 4
        waits = [reservation.waited for reservation in await asyncio.gather(*batch)]
        assert max(waits) > 8
        await pool.close()

    run(main())


def test_calls_that_become_too_late_are_refused_before_their_time_is_over() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        first = [asyncio.create_task(made(pool, call_of("first"), 12.0)) for _ in range(22)]
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(made(pool, call_of(f"t{number}"), 60.0)) for number in range(5) for _ in range(8)]
        await asyncio.sleep(4.0)
        refused = [task for task in first if task.done() and isinstance(task.exception(), QuotaBusy)]
        assert len(refused) > 5, "a sixth of the quota is left for them"
        await asyncio.gather(*first, *others, return_exceptions=True)
        await pool.close()

    run(main())


def test_what_teams_reserve_and_take_is_counted() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        reservation = await pool.acquire(QuotaCall(Flow("a", "k"), 400, 2000), 1.0)
        reservation.settle(Usage(input=100, output=10))
        figures = pool.figures.teams["a"]
        assert (figures.reserved, figures.settled) == (2121, 200)

    run(main())


def test_a_throttle_stops_the_pool_for_a_moment_and_lowers_it() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        reservation = await pool.acquire(call_of(), 1.0)
        reservation.throttled(2.0)
        began = virtual_time.now()
        await pool.acquire(call_of(), 10.0)
        assert virtual_time.now() - began >= 2.0
        assert pool.learned.factor < 0.8
        await pool.close()

    run(main())


def test_a_pool_takes_its_usual_path_again_minutes_after_a_throttle() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of(us_east_1=QuotaLimits(10**7, target=1.0)))

        async def is_direct() -> bool:
            await asyncio.sleep(1.0)
            reservation = acquire_now(pool)
            assert reservation is not None
            reservation.settle(Usage(input=100, output=10))
            return reservation.hold is None

        before = [await is_direct() for _ in range(110)]
        assert before[-1]
        throttled = acquire_now(pool)
        assert throttled is not None
        throttled.throttled(None)
        assert not any([await is_direct() for _ in range(290)])
        after = [await is_direct() for _ in range(30)]
        assert after[-1]
        assert pool.figures.throttled == 1
        await pool.close()

    run(main())


# which pool a call belongs to


def test_a_pool_is_that_of_a_profile_in_a_region_and_an_account() -> None:
    quotas = quotas_of()
    elsewhere, account = UpstreamLocation("us-west-2"), UpstreamLocation(role="arn:aws:iam::111122223333:role/x")
    pools = {id(quotas.pool_of(MODEL, MODEL, at, is_mantle=False)) for at in (DEFAULT_LOCATION, elsewhere, account)}
    assert len(pools) == 3
    for other in ("global.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"):
        model = parse_model_id(other)
        assert quotas.pool_of(model, model, DEFAULT_LOCATION, is_mantle=False) is None
    assert quotas.pool_of(MODEL, MODEL, DEFAULT_LOCATION, is_mantle=True) is None


def test_an_arn_has_the_pool_of_its_profile_and_provisioned_capacity_has_none() -> None:
    quotas, base = quotas_of(), "arn:aws:bedrock:us-east-1:111122223333"
    profile = parse_model_id(f"{base}:inference-profile/{MODEL.raw}")
    application = parse_model_id(f"{base}:application-inference-profile/abc")
    provisioned = parse_model_id(f"{base}:provisioned-model/abc")
    pool = pool_of(quotas)
    assert quotas.pool_of(profile, profile, DEFAULT_LOCATION, is_mantle=False) is pool
    assert quotas.pool_of(application, MODEL, DEFAULT_LOCATION, is_mantle=False) is pool
    assert quotas.pool_of(provisioned, MODEL, DEFAULT_LOCATION, is_mantle=False) is None


def test_a_region_may_have_another_quota_and_what_aws_says_comes_last() -> None:
    quotas = quotas_of(us_west_2=QuotaLimits(60_000))
    west = UpstreamLocation("us-west-2")
    assert quotas.pool_of(MODEL, MODEL, DEFAULT_LOCATION, is_mantle=False) is None
    quotas.set_found({(MODEL.raw, "us-east-1", ""): QuotaLimits(1200), (MODEL.raw, "us-west-2", ""): QuotaLimits(1)})
    pool_of(quotas)
    assert {key.location.region: limits.tokens_per_minute for key, limits in quotas.limits.items()} == {"": 1200}
    assert quotas.pool_of(MODEL, MODEL, west, is_mantle=False) is not None
    assert sorted(limits.tokens_per_minute or 0 for limits in quotas.limits.values()) == [1200, 60_000]
    quotas.set_found({(MODEL.raw, "us-east-1", ""): QuotaLimits(2400)})
    pool_of(quotas)
    assert sorted(limits.tokens_per_minute or 0 for limits in quotas.limits.values()) == [2400, 60_000]


def test_pools_are_described_without_the_account() -> None:
    async def main() -> None:
        quotas = quotas_of()
        account = UpstreamLocation("us-west-2", "arn:aws:iam::111122223333:role/x")
        arn = parse_model_id(f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{MODEL.raw}")
        pools = [quotas.pool_of(arn, arn, at, is_mantle=False) for at in (DEFAULT_LOCATION, account)]
        for pool in pools:
            assert pool is not None
            (await pool.acquire(QuotaCall(Flow("a", "k"), 400, 2000), 1.0)).settle(Usage(input=100, output=10))
        described = describe_pools(quotas)
        assert {each["location"] for each in described} == {"", "us-west-2 111122223333"}
        assert {each["source"] for each in described} == {"configuration"}
        assert described[0]["output_burndown"] == 10
        assert described[0]["teams"] == [{"id": "a", "reserved": 2121, "settled": 200, "reserved_per_settled": 10.61}]
        figures = figures_of(quotas)
        assert sorted(figures) == [MODEL.raw, f"{MODEL.raw} us-west-2"]
        assert set(figures[MODEL.raw]) == set(QUOTA_FIGURES) - {"cloudwatch_tokens_per_minute"}

    run(main())


# the goals, simulated


def test_a_flood_does_not_starve_a_small_team_and_uses_the_quota() -> None:
    result = simulate(Scenario(FLOOD))
    small = result.teams["small"]
    assert result.served >= 0.88
    assert result.throttled_share <= 0.01
    assert small.refused == 0
    assert small.median < 1.5


@pytest.mark.parametrize("name", ["outputs five times as long", "half of the quota", "bursts"])
def test_nothing_collapses(name: str) -> None:
    result = simulate(scenarios()[name])
    assert result.served >= (0.75 if name == "bursts" else 0.88)
    assert result.throttled_share <= (0.06 if name == "half of the quota" else 0.01)
    assert result.teams["small"].refused <= 2
    assert result.teams["small"].median < 2.5


@pytest.mark.parametrize("max_tokens", [5000, 28_000])
def test_calls_that_reserve_nearly_the_whole_burst_go_one_after_the_other(max_tokens: int) -> None:
    """The emulator lets 30,000 tokens be reserved at once. What throttles teach counts calls that start together too."""
    teams = Team("flood", 48, max_tokens=max_tokens), Team("small", 2, pause=0.5)
    result = simulate(Scenario(teams, seconds=60, replicas=1))
    assert result.throttled_share <= 0.04
    assert result.served > 0.25, "a call of 0.6 s takes 400 of 3,000 tokens a second"
    assert result.teams["small"].refused == 0
    assert result.teams["small"].median < 2


def test_calls_that_start_together_all_count_as_reserved() -> None:
    async def main() -> None:
        pool = pool_of(quotas_of())
        pool.learned.note_throttle(virtual_time.now(), 1.0, reserved=100_000, per_second=1)
        pool.learned.room = 250.0
        tasks = [asyncio.create_task(made(pool, call_of(), seconds=5.0)) for _ in range(4)]
        await asyncio.sleep(4.0)
        assert pool.reserved_now < 250, "each call reserves about 200"
        await asyncio.gather(*tasks)
        assert pool.reserved_now == 0
        await pool.close()

    run(main())


def test_teams_get_their_parts_by_weight() -> None:
    teams = Team("one", 30), Team("three", 30, weight=3)
    result = simulate(Scenario(teams, seconds=120))
    one, three = result.teams["one"].settled, result.teams["three"].settled
    assert three / (one + three) == pytest.approx(0.75, rel=0.05)
