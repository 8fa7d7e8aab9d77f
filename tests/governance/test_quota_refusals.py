"""Who is refused at once, and who is served: against the same pool in which the call may wait as long as it takes.

The claim, with W for the seconds after which the call would start in its turn, if no other call comes or leaves and all
take what is expected, and M for the seconds that it may wait:

- A call with W <= M is not refused, and starts after W.
- A call with W > M + B is refused at once. B is the time in which each flow that waits is served one call of the
  largest cost for each turn that the bounds may be wrong by.
- Between them the call may wait, and is refused when its time is over or when it becomes known.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import QuotaBusy
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.estimates import Estimates
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import LocalMeters, Meter
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.reservation import QuotaCall
from benchmarks import virtual_time

# 1,000 tokens a second, and room for all reservations
RATE = 1000
PATIENT = 10_000.0
WEIGHTS = {"a": 1.0, "b": 1.0, "c": 4.0, "d": 0.5}


class Exact(Estimates):
    """Knows what calls take: their sizes are tokens."""

    def first_need(self, key: str, size: int, max_tokens: int) -> tuple[int, int]:
        return size, size


@dataclass
class Outcome:
    """seconds: after which the call started, or was refused."""

    is_served: bool
    seconds: float
    retry_after: float = 0.0


calls = st.builds(
    lambda team, key, is_batch, size: QuotaCall(Flow(team, key, WEIGHTS[team], is_batch), size, 0),
    st.sampled_from("abcd"),
    st.sampled_from("xyz"),
    st.booleans(),
    st.integers(1, 3000),
)


async def _outcome(before: list[QuotaCall], call: QuotaCall, max_wait: float, pause: float) -> Outcome:
    meters = LocalMeters([Meter("tokens", RATE * 60, 1.0)], virtual_time.now)
    pool = QuotaPool("pool", meters, Arithmetic(), virtual_time.now)
    pool.estimates = Exact(pool.arithmetic)

    async def run(each: QuotaCall) -> None:
        (await pool.acquire(each, PATIENT)).settle(None)

    tasks = [asyncio.create_task(run(each)) for each in before]
    await asyncio.sleep(pause)
    began = virtual_time.now()
    try:
        waited = (await pool.acquire(call, max_wait)).waited
        return Outcome(True, waited)
    except QuotaBusy as error:
        return Outcome(False, virtual_time.now() - began, error.retry_after or 0.0)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        await pool.close()


def outcome(before: list[QuotaCall], call: QuotaCall, max_wait: float, pause: float) -> Outcome:
    return virtual_time.run(_outcome(before, call, max_wait, pause))


def slack(before: list[QuotaCall], call: QuotaCall) -> float:
    """Return B: each level may be wrong by one call of each flow for each turn, and so may the levels above it."""
    largest = max([each.size for each in before] + [call.size])
    flows = [each.flow for each in before] + [call.flow]
    keys = len({(flow.team, flow.key, flow.is_batch) for flow in flows if flow.team == call.flow.team})
    teams = sum({flow.team: flow.weight for flow in flows}.values()) / call.flow.weight
    return largest * ((keys + 1) * (teams + 4) * 10 + 20) / RATE


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(calls, max_size=40),
    call=calls,
    share=st.floats(0.0, 2.0),
    pause=st.sampled_from([0.0, 0.1, 1.7, 5.0]),
)
@example(
    before=[QuotaCall(Flow("a", "x"), 1000, 0)] * 20, call=QuotaCall(Flow("a", "x"), 1000, 0), share=0.99, pause=0.1
)
def test_refusals_are_true_and_who_is_not_refused_is_served_in_time(
    before: list[QuotaCall], call: QuotaCall, share: float, pause: float
) -> None:
    needed = outcome(before, call, PATIENT, pause)
    assert needed.is_served
    max_wait = needed.seconds * share
    got = outcome(before, call, max_wait, pause)
    if needed.seconds < max_wait - 0.01:
        assert got.is_served, "it could have been served in time"
        assert abs(got.seconds - needed.seconds) < 0.01
    if not got.is_served:
        assert needed.seconds > max_wait - 0.01
        assert got.seconds <= max_wait + 0.01
        assert got.retry_after >= 1
    if needed.seconds > max_wait + slack(before, call):
        assert not got.is_served
        assert got.seconds == 0.0, "it is refused at once"


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 30), teams=st.integers(1, 5), share=st.floats(0.0, 2.0))
def test_where_all_calls_cost_the_same_each_refusal_is_made_at_once(count: int, teams: int, share: float) -> None:
    """B is then a millisecond for each start."""
    before = [QuotaCall(Flow(f"t{number % teams}", "k"), 500, 0) for number in range(count)]
    call = QuotaCall(Flow("t0", "k"), 500, 0)
    needed = outcome(before, call, PATIENT, 0.01)
    max_wait = needed.seconds * share
    got = outcome(before, call, max_wait, 0.01)
    if abs(needed.seconds - max_wait) > 0.001 * count + 0.01:
        assert got.is_served is (needed.seconds <= max_wait)
        assert got.seconds == (needed.seconds if got.is_served else 0.0)
