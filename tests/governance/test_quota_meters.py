"""When calls fit into a quota, what they are expected to take, and what throttles teach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.usage import Usage
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.estimates import Estimates
from app.governance.quotas.learned_limit import LearnedLimit
from app.governance.quotas.meters import LocalMeters, Meter, Need

# 100 tokens a second, half of which is used
LIMIT, TARGET = 6000, 0.5
MANTLE = Arithmetic(is_mantle=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meters(clock: Clock) -> LocalMeters:
    return LocalMeters([Meter("tokens", LIMIT, TARGET)], clock)


def test_starts_are_spaced_by_what_calls_cost(meters: LocalMeters, clock: Clock) -> None:
    needs = [Need(100, 50)]
    started = 0
    for _ in range(1000):
        if meters.take(needs, 1.0):
            started += 1
        clock.now += 0.01
    assert started == 10 + 1, "one a second, and what had been saved for half a second"


def test_what_calls_took_more_or_less_than_expected_moves_the_next_starts(meters: LocalMeters, clock: Clock) -> None:
    hold = meters.take([Need(500, 50)], 1.0)
    assert hold is not None
    meters.settle([hold], [[250]], 1.0)
    assert meters.delay([Need(1, 1)], 1.0) == pytest.approx(5.0 - 0.5)
    clock.now += 4.5
    hold = meters.take([Need(500, 50)], 1.0)
    assert hold is not None
    meters.settle([hold], [[0]], 1.0)
    assert meters.delay([Need(1, 1)], 1.0) == 0.0


def test_what_calls_reserve_must_fit_into_the_minute(clock: Clock) -> None:
    meters = LocalMeters([Meter("tokens", LIMIT, 1.0, burst_seconds=1000)], clock)
    large = [Need(4000, 1)]
    first = meters.take(large, 1.0)
    clock.now += 10
    assert first is not None
    assert meters.take(large, 1.0) is None
    assert meters.take([Need(2000, 1)], 1.0) is not None
    meters.settle([first], [[3000]], 1.0)
    assert meters.delay(large, 1.0) == pytest.approx(30.0), "3,000 of 6,000 that were used must be refilled"


def test_a_call_larger_than_the_quota_starts_when_no_other_runs(meters: LocalMeters, clock: Clock) -> None:
    small = meters.take([Need(10, 1)], 1.0)
    clock.now += 10
    assert small is not None
    assert meters.take([Need(100_000, 1)], 1.0) is None
    meters.settle([small], [[0]], 1.0)
    assert meters.take([Need(100_000, 1)], 1.0) is not None


def test_all_meters_must_have_room(clock: Clock) -> None:
    meters = LocalMeters([Meter("tokens", LIMIT, 1.0), Meter("requests", 6, 1.0)], clock)
    needs = [Need(10, 10), Need(1, 1)]
    assert meters.take(needs, 1.0) is not None
    assert meters.take(needs, 1.0) is None
    assert meters.delay(needs, 1.0) == pytest.approx(9.5)


@given(
    costs=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 800)), min_size=1, max_size=60),
    factor=st.floats(0.1, 1.0),
)
def test_no_more_is_used_than_the_rate_allows(costs: list[tuple[int, int]], factor: float) -> None:
    """However wrong the estimates are, once calls have ended."""
    clock = Clock()
    meters = LocalMeters([Meter("tokens", LIMIT, 1.0)], clock)
    began, used, last = clock.now, 0, 0
    for expected, taken in costs:
        needs = [Need(max(expected, taken), expected)]
        while (hold := meters.take(needs, factor)) is None:
            clock.now += max(meters.delay(needs, factor), 0.001)
        meters.settle([hold], [[taken]], factor)
        used, last = used + taken, taken
    allowed = (clock.now - began + 0.5) * LIMIT / 60 * factor
    assert used - last <= allowed + 1


# estimates


def test_estimates_follow_what_answers_say() -> None:
    estimates = Estimates(MANTLE)
    first, _ = estimates.needs("k", 1000, 4096)
    assert 200 < first.reserved - 4096 < 400
    for _ in range(50):
        estimates.note("k", 1000, Usage(input=20, cache_read=180, output=700))
    later, output = estimates.needs("k", 2000, 4096)
    assert later.reserved - 4096 == pytest.approx(400, rel=0.1)
    assert later.cost == pytest.approx(40, rel=0.3)
    assert output.cost == pytest.approx(700, rel=0.05)
    assert estimates.needs("k", 2000, 50)[1].cost == 50, "no answer is longer than max_tokens"
    one_meter = Estimates(Arithmetic(output_rate=5))
    assert one_meter.first_need("k", 1000, 4096)[1] - one_meter.first_need("k", 1000, 50)[1] == 5 * (150 - 50)


def test_images_do_not_make_texts_seem_short() -> None:
    estimates = Estimates(MANTLE)
    for _ in range(20):
        estimates.note("k", 2000, Usage(input=500, output=10))
        estimates.note("k", 2_000_000, Usage(input=1600, output=10))
    for size, tokens in ((3000, 750), (2_500_000, 2000), (40_000, 10_000)):
        assert estimates.first_need("k", size, 0)[0] == pytest.approx(tokens, rel=0.01)
    assert estimates.first_need("k", 40_000_000, 0)[0] == pytest.approx(20_000, rel=0.02)


def test_a_key_has_its_own_lengths_and_a_new_one_those_of_all() -> None:
    estimates = Estimates(MANTLE)
    for number in range(20):
        estimates.note("long", 100, Usage(input=10, output=2000))
        estimates.note("short", 100, Usage(input=10, output=20 if number % 10 else 400))
    assert estimates.needs("long", 100, 4096)[1].cost == 2000
    assert estimates.needs("short", 100, 4096)[1].reserved == 400
    assert 20 < estimates.needs("new", 100, 4096)[1].cost < 2000


def test_the_part_of_a_key_s_prompts_that_a_cache_serves_is_known() -> None:
    estimates = Estimates(MANTLE)
    for _ in range(20):
        estimates.note("chat", 100, Usage(input=100, cache_read=900, output=10))
        estimates.note("other", 100, Usage(input=1000, output=10))
    assert estimates.cached_share("chat") == pytest.approx(0.9, abs=0.01)
    assert estimates.cached_share("other") == estimates.cached_share("new") == 0.0
    for _ in range(20):
        estimates.note("chat", 100, Usage(input=1000, output=10))
    assert estimates.cached_share("chat") < 0.01


def test_a_reservation_is_what_aws_takes_or_what_the_answer_may_cost() -> None:
    estimates = Estimates(Arithmetic(output_rate=5, counts_requests=True))
    for _ in range(10):
        estimates.note("k", 1000, Usage(input=200, output=100))
    small, requests = estimates.needs("k", 1000, 150)
    large = estimates.needs("k", 1000, 9000)[0]
    assert requests == Need(1, 1)
    assert small.reserved == small.cost, "200 + 5 * 100 are more than 200 + 150"
    assert large.reserved == pytest.approx(9200, abs=20)
    assert large.cost == small.cost


def test_mantle_has_two_meters_and_no_burndown() -> None:
    usage = Usage(input=30, cache_read=70, output=10)
    assert MANTLE.used(usage) == [30, 10]
    first, second = Estimates(MANTLE).needs("k", 1000, 500)
    assert first.reserved > 500 > second.reserved


# throttling


def test_a_throttle_lowers_the_limit_once_and_it_comes_back_to_just_below() -> None:
    learned = LearnedLimit()
    learned.note_throttle(10.0, None)
    learned.note_throttle(10.2, None)
    assert learned.current(10.2) == pytest.approx(0.7, abs=0.02)
    assert learned.throttles == 2
    assert learned.resumes_at == pytest.approx(10.25)
    later = [learned.current(10.0 + seconds) for seconds in range(1, 60)]
    assert later == sorted(later)
    assert 0.9 < later[25] < 0.97
    assert learned.current(1000.0) == 1.0


def test_what_a_limit_comes_back_to_within_seconds_is_known() -> None:
    """Calls are refused by it: they wait for tens of seconds."""
    learned = LearnedLimit()
    assert learned.expected(10.0) == 1.0
    learned.note_throttle(10.0, None)
    assert (learned.current(10.0), learned.expected(10.0)) == (pytest.approx(0.7), pytest.approx(0.95))
    assert learned.current(40.0) == pytest.approx(learned.expected(40.0), rel=0.05)


def test_a_throttle_of_large_reservations_limits_them_and_not_the_rate() -> None:
    learned = LearnedLimit()
    learned.note_throttle(10.0, None, reserved=8000, per_second=1000)
    assert learned.current(10.0) == 1.0
    assert not learned.has_room(6000, 1000, 10.0)
    assert learned.has_room(5000, 1000, 10.0)
    assert learned.has_room(0, 100_000, 10.0), "one call may always run"
    assert learned.has_room(6000, 1000, 60.0), "it is tried again later"
    learned.note_throttle(70.0, None, reserved=50_000, per_second=1000)
    assert learned.current(70.0) == 1.0, "one call that reserves more than there is"
    learned.note_throttle(80.0, None, reserved=2000, per_second=1000)
    assert learned.current(80.0) == pytest.approx(0.7)


def test_throttles_are_forgotten_minutes_after_the_last_pause_once_the_whole_quota_is_used() -> None:
    learned = LearnedLimit()
    learned.note_throttle(10.0, None, reserved=8000, per_second=1000)
    learned.note_throttle(12.0, 60.0)
    learned.forget_old(372.0)
    assert learned.throttles == 2, "a part of the quota is still left out"
    assert [learned.current(seconds) for seconds in (100.0, 371.0)][-1] == 1.0
    learned.forget_old(371.0)
    assert (learned.throttles, learned.room) == (2, 6800.0)
    learned.forget_old(372.0)
    assert (learned.throttles, learned.room) == (0, math.inf)


def test_throttles_in_a_row_make_longer_pauses_and_a_success_ends_them() -> None:
    learned = LearnedLimit()
    pauses = []
    for number in range(6):
        now = 10.0 * (number + 1)
        learned.note_throttle(now, None)
        pauses.append(learned.resumes_at - now)
    assert pauses == pytest.approx([0.25, 0.5, 1, 2, 4, 4])
    learned.note_success()
    learned.note_throttle(100.0, None)
    assert learned.resumes_at == pytest.approx(100.25)
    learned.note_throttle(110.0, 7.0)
    assert learned.resumes_at == pytest.approx(117.0), "Bedrock's Retry-After"
