"""Balances and leases, beside what the state machine of the protocol checks."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.governance.leases.balance import (
    MINUTE_NS,
    STARTS_NS,
    Ask,
    Balance,
    Lease,
    LeaseRequest,
    Shortage,
    apply_request,
)
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.windows import window_of


@pytest.mark.parametrize(
    ("period", "moment", "name", "end"),
    [
        ("day", "2026-11-30T23:59:59", "2026-11-30", "2026-12-01T00:00:00"),
        ("week", "2026-12-31T12:00:00", "2026-W53", "2027-01-04T00:00:00"),
        ("week", "2027-01-03T23:59:59", "2026-W53", "2027-01-04T00:00:00"),
        ("week", "2027-01-04T00:00:00", "2027-W01", "2027-01-11T00:00:00"),
        ("month", "2026-12-31T23:59:59", "2026-12", "2027-01-01T00:00:00"),
        ("month", "2028-02-01T00:00:00", "2028-02", "2028-03-01T00:00:00"),
    ],
)
def test_windows_are_in_utc(period: str, moment: str, name: str, end: str) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    expected = name, datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert window_of(period, at) == expected  # type: ignore[arg-type]
    assert window_of(period, at.astimezone(timezone(timedelta(hours=-11)))) == expected  # type: ignore[arg-type]


def test_a_total_has_no_end() -> None:
    assert window_of("total", datetime.now(UTC)) == ("total", None)


def test_what_exceeds_a_hold_is_posted_all_the_same_and_covered_by_the_next_ask() -> None:
    balance, lease, book = Balance("b", "budget", 100), Lease(), LeaseBook(valid_until=1e9)
    request = book.begin([Ask({"b": 10})], 0.0)
    book.finish(request, apply_request(request, {"b": balance}, {"b": lease}, 0, 1), 0.0)
    book.settle("b", 10, 35, 0.0)
    assert book.of("b").idle == -25
    request = book.begin([Ask({"b": 10})], 5.0)
    book.finish(request, apply_request(request, {"b": balance}, {"b": lease}, 0, 1), 5.0)
    assert (balance.leased, book.of("b").held, book.of("b").idle) == (45, 10, 0)
    lease.post(balance, 35, 0)
    book.confirm({"b": 35}, {"b": lease.amount})
    assert (balance.settled, balance.leased, book.of("b").idle) == (35, 10, 0)


def test_leases_grow_fast_where_much_is_left_of_a_balance() -> None:
    balance, lease, book = Balance("b", "budget", 10**6), Lease(), LeaseBook(valid_until=1e9)
    amounts = []
    for _ in range(2):
        request = book.begin([Ask({"b": 10})] * 4, 0.0)
        reply = apply_request(request, {"b": balance}, {"b": lease}, 0, 2)
        book.finish(request, reply, 0.0)
        amounts.append(lease.amount)
        while book.take({"b": 10}, 0.0):
            pass
    # a part in 256 of what is left, for each of two replicas
    assert amounts == [360, 2_352]
    small, lease = Balance("b", "budget", 1_000), Lease()
    apply_request(LeaseBook().begin([Ask({"b": 10})] * 4, 0.0), {"b": small}, {"b": lease}, 0, 2)
    permits, lease_of_permits = Balance("p", "permits", 10**6), Lease()
    apply_request(LeaseBook().begin([Ask({"p": 1})], 0.0), {"p": permits}, {"p": lease_of_permits}, 0, 2)
    assert (lease.amount, lease_of_permits.amount) == (40, 1)


def test_a_cost_without_a_lease_is_posted() -> None:
    balance, lease = Balance("b", "budget", 100, leased=5), Lease(5)
    lease.post(balance, 30, 0)
    assert (balance.settled, balance.leased, lease.amount) == (30, 0, 0)


def test_an_entry_of_a_charged_lease_is_taken_from_it() -> None:
    balance, lease = Balance("b", "budget", 100, leased=40), Lease(40)
    lease.charge(balance, 0)
    lease.charge(balance, 0)
    assert (balance.settled, balance.leased) == (40, 0)
    lease.post(balance, 15, 0)
    assert (balance.settled, lease.amount) == (40, 25)
    lease.post(balance, -5, 0)
    assert (balance.settled, lease.amount) == (40, 30)
    lease.give_back(balance, 30)
    assert (balance.settled, balance.leased) == (10, 0)


def test_a_rate_refills_evenly() -> None:
    balance = Balance("r", "rate", 60)
    balance.use(60, MINUTE_NS)
    assert balance.free(MINUTE_NS) == 0
    assert balance.wait_ns(1, MINUTE_NS) == 1_000_000_000
    assert balance.free(MINUTE_NS + 999_999_999) == 0
    assert balance.free(MINUTE_NS + 1_000_000_000) == 1
    assert balance.free(5 * MINUTE_NS) == 60
    assert balance.wait_ns(61, 5 * MINUTE_NS) is None
    # a use that is posted late counts from when it was
    balance.use(60, 4 * MINUTE_NS)
    assert balance.free(5 * MINUTE_NS) == 60


def test_a_clock_that_goes_back_makes_a_rate_wait_longer() -> None:
    balance = Balance("r", "rate", 60)
    balance.use(30, 10 * MINUTE_NS)
    assert (balance.free(5 * MINUTE_NS) or 0) <= 30


def test_near_the_end_only_what_is_needed_is_granted() -> None:
    balance, lease = Balance("b", "budget", 100), Lease()
    request = LeaseRequest(asks=[Ask({"b": 60})], idle={"b": 0}, surplus={"b": 1000})
    reply = apply_request(request, {"b": balance}, {"b": lease}, 0, 4)
    assert reply.amounts == {"b": 60 + 40 // 8}
    reply = apply_request(LeaseRequest(asks=[Ask({"b": 50})]), {"b": balance}, {"b": Lease()}, 0, 4)
    assert reply.shortages[0] is not None
    assert (reply.shortages[0].free, reply.shortages[0].leased_by_others) == (35, 65)


def test_without_its_budget_a_balance_has_no_limit() -> None:
    balance, lease = Balance("b", "budget", None), Lease()
    reply = apply_request(LeaseRequest(asks=[Ask({"b": 10**15})]), {"b": balance}, {"b": lease}, 0, 1)
    assert (reply.shortages, reply.headroom) == ([None], {})


@pytest.mark.parametrize("returns", [True, False])
def test_capacity_that_a_transaction_offers_or_returns_cannot_be_held_meanwhile(returns: bool) -> None:
    balance, lease, book = Balance("b", "budget", 100), Lease(), LeaseBook(valid_until=1e9)
    lease.grant(balance, 20)
    book.confirm({}, {"b": 20})
    request = book.begin([] if returns else [Ask({"b": 30})], 0.0, returns=["b"])
    assert not book.take({"b": 5}, 0.0)
    book.finish(request, apply_request(request, {"b": balance}, {"b": lease}, 0, 1), 0.0)
    assert (balance.leased, book.of("b").held, book.of("b").idle) == ((0, 0, 0) if returns else (30, 30, 0))


def test_capacity_is_idle_again_after_a_transaction_that_failed() -> None:
    book = LeaseBook(valid_until=1e9)
    book.confirm({}, {"b": 20})
    request = book.begin([Ask({"b": 30})], 0.0, returns=["b"])
    book.abandon(request)
    assert book.take({"b": 20}, 0.0)
    assert not book.take({"b": 1}, 0.0)


def test_leases_that_were_not_renewed_are_not_used() -> None:
    book = LeaseBook(valid_until=10.0)
    book.confirm({}, {"b": 20})
    assert book.take({"b": 1}, 9.9)
    assert not book.take({"b": 1}, 10.0)


def test_a_negative_amount_is_not_held() -> None:
    book = LeaseBook(valid_until=10.0)
    book.confirm({}, {"a": 20, "b": 20})
    with pytest.raises(ValueError, match="negative"):
        book.take({"a": 1, "b": -1}, 0.0)
    assert (book.of("a").held, book.of("b").held) == (0, 0)


@pytest.mark.parametrize(("capacity", "waits"), [(100_000, False), (2_400, True)])
def test_steady_calls_wait_only_where_little_is_left(capacity: int, waits: bool) -> None:
    balance, lease, book = Balance("r", "rate", capacity), Lease(), LeaseBook(valid_until=1e9)
    waited: list[float] = []

    def transact(now: float, *asks: Ask, more: Collection[str] = ()) -> list[Shortage | None]:
        request = book.begin(asks, now, posts=["r"], more=more)
        reply = apply_request(request, {"r": balance}, {"r": lease}, int(now * 1e9), 2)
        book.finish(request, reply, now)
        return reply.shortages

    # forty calls a second for five seconds, and what runs low is leased every quarter of a second
    for number in range(200):
        now = 100.0 + number / 40
        if number % 10 == 0 and (low := book.running_low(now)):
            transact(now, more=low)
        if not book.take({"r": 20}, now, ["r"]):
            waited.append(now - 100.0)
            if transact(now, Ask({"r": 20})) == [None]:
                book.settle("r", 20, 20, now)
        assert (balance.free(int(now * 1e9)) or 0) >= 0
    assert any(at > 1.0 for at in waited) is waits


def test_nothing_is_leased_in_advance_of_what_is_recalled_or_returned() -> None:
    balance, lease, book = Balance("r", "rate", 1_000), Lease(), LeaseBook(valid_until=1e9)
    request = book.begin([Ask({"r": 10})], 1.0)
    book.finish(request, apply_request(request, {"r": balance}, {"r": lease}, 0, 1), 1.0)
    assert book.running_low(1.1) == {"r"}
    assert book.begin([], 1.1, more={"r"}).more == {"r": (10, 0)}
    book.recall(["r"])
    assert book.running_low(1.1) == set()
    assert book.begin([], 1.1, more={"r"}).more == {}


@pytest.mark.parametrize(("capacity", "idle"), [(10**9, 80), (10_000, 39), (1_000, 20), (40, 15)])
def test_the_more_is_free_the_more_is_leased_in_advance(capacity: int, idle: int) -> None:
    """Several seconds of use where others will not miss it, else one second, and at most half of what is free."""
    balance, lease, book = Balance("r", "rate", capacity), Lease(), LeaseBook(valid_until=1e9)
    lease.grant(balance, 10)
    book.confirm({}, {"r": 10})
    assert book.take({"r": 10}, 1.0)
    request = book.begin([], 1.1, more={"r"})
    book.finish(request, apply_request(request, {"r": balance}, {"r": lease}, 0, 1), 1.1)
    assert book.of("r").idle == idle
    request = book.begin([], 1.1, more={"r"})
    book.finish(request, apply_request(request, {"r": balance}, {"r": lease}, 0, 1), 1.1)
    assert book.of("r").idle == idle, "what is idle already is not leased again"


def refused_for(balance: Balance, now_ns: int) -> float:
    """Return the seconds after which an ask for one of a rate would fit."""
    reply = apply_request(LeaseRequest(asks=[Ask({"b": 1})]), {"b": balance}, {"b": Lease()}, now_ns, 1)
    (shortage,) = reply.shortages
    assert shortage is not None
    assert shortage.retry_ns is not None
    return shortage.retry_ns / 1e9


def test_a_clock_that_is_set_back_stops_a_rate_for_an_hour_at_most() -> None:
    day_ns = 24 * 60 * MINUTE_NS
    balance = Balance("b", "rate", 60)
    balance.use(60, 10 * day_ns)
    assert refused_for(balance, 10 * day_ns) == 1
    # a failover to a machine whose clock is a day behind
    assert refused_for(balance, 9 * day_ns) == 59 * 60 + 1
    starts = Balance("b", "rate", 60, period_ns=STARTS_NS)
    starts.use(60, 10 * day_ns)
    assert refused_for(starts, 9 * day_ns) == pytest.approx(59, abs=0.1)


def test_a_call_beyond_a_rate_delays_the_next_one_by_all_that_it_took() -> None:
    balance = Balance("b", "rate", 60)
    balance.use(60 * 20, 0)
    assert refused_for(balance, 0) == 19 * 60 + 1


def test_a_limit_that_becomes_enforced_does_not_make_up_for_what_exceeded_it_before() -> None:
    balance, lease = Balance("b", "rate", 60, is_enforced=False), Lease()
    for _ in range(600):
        apply_request(LeaseRequest(asks=[Ask({"b": 60})]), {"b": balance}, {"b": lease}, 0, 1)
        apply_request(LeaseRequest(posts={"b": (60, 0)}), {"b": balance}, {"b": lease}, 0, 1)
    balance.is_enforced = True
    assert refused_for(balance, 0) == 61
