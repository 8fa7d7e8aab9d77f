"""Holds of limits and budgets for calls: what they need, refusals, settlement."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.usage import Usage
from app.dialects.anthropic.limit_headers import limit_headers
from app.errors import BudgetSpent, LimitReached, ModelNotFound, Overloaded
from app.governance.holds.bounds import CallBounds, CallSize, bounds_of_size
from app.governance.holds.call_limits import CallLimits, RequestHold
from app.governance.holds.needs import Subject, apply_rules
from app.governance.holds.subjects import OTHER_USERS, Subjects
from app.governance.holds.usual_costs import UsualCosts
from app.governance.identity.caller import Caller, Policy
from app.governance.leases.client import LeaseClient, LeasesUnavailable
from app.governance.ledger.posting import take_leases
from app.models.exact_prices import ExactPrice
from app.models.prices import Price, Prices, cost_of
from app.storage.database import Database
from app.storage.records import Budget, Limit
from app.storage.repository import budgets, limits
from tests.governance.test_leases import expire

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
BOUNDS = CallBounds(100, 50)


def budget(**changes: Any) -> Budget:
    return Budget(**{"scope": "team", "scope_id": "t", "period": "month", "amount_nano": 10_000, **changes})


def limit(kind: Any, capacity: int, **changes: Any) -> Limit:
    return Limit(**{"scope": "key", "scope_id": "k", "kind": kind, "capacity": capacity, **changes})


def subject(*rules: Limit | Budget, **changes: Any) -> Subject:
    found_limits = [rule for rule in rules if isinstance(rule, Limit)]
    found_budgets = [rule for rule in rules if isinstance(rule, Budget)]
    return Subject("t", "k", limits=found_limits, budgets=found_budgets, **changes)


def needs_of(of: Subject, worst_nano: int = 0, at: datetime = NOON) -> dict[str, int]:
    rules = apply_rules(of, at)
    return dict(zip(rules.keys, rules.amounts(BOUNDS, worst_nano), strict=True))


# prices and bounds


def test_prices_are_exact() -> None:
    price = ExactPrice.of(Price(0.035, 0.14, cache_read=0.00875), 1.1)
    assert (price.input, price.output, price.cache_read, price.cache_write) == (38500, 154000, 9625, None)
    assert price.cost_nano(Usage(input=1000, output=3)) == 38500 + 462
    assert price.cost_nano(Usage(input=1)) == 39, "rounded up"
    assert price.cost_nano(Usage(cache_write=1)) is None


def test_a_long_context_costs_more_and_is_held() -> None:
    price = ExactPrice.of(
        Price(1.0, 2.0, cache_write=1.25, beyond_tokens=1000, beyond=Price(2.0, 3.0, cache_write=2.5)), 1
    )
    assert price.worst_nano(1000, 10) == 1250 * 1000 + 2000 * 10
    assert price.worst_nano(1001, 10) == 2500 * 1001 + 3000 * 10
    assert price.cost_nano(Usage(input=1001, output=10)) == 2000 * 1001 + 3000 * 10


@given(
    counts=st.lists(st.integers(0, 300_000), min_size=4, max_size=4),
    more=st.integers(0, 50_000),
    model=st.sampled_from(sorted(Prices()._prices)),
)
def test_no_call_costs_more_than_its_worst_case(counts: list[int], more: int, model: str) -> None:
    found = Prices().price_of(model, "")
    assert found is not None
    price = ExactPrice.of(*found)
    written = counts[3]
    usage = Usage(counts[0], counts[1], counts[2], written, cache_write_1h=written // 2)
    cost = price.cost_nano(usage)
    if cost is not None and (price.cache_read or 0) <= max(price.input, price.cache_write or 0):
        assert cost <= price.worst_nano(usage.prompt + more, usage.output)
        figures = cost_of(found[0], usage)
        assert figures is not None
        dollars = figures / 1_000_000
        exact = (Decimal(cost) / 1_000_000_000).quantize(Decimal("1e-6"), ROUND_CEILING)
        assert abs(exact - Decimal(str(dollars * found[1]))) < Decimal("0.00001")


def test_a_price_that_is_not_known_is_none() -> None:
    assert Prices().price_of("unknown.model-v1:0", "") is None
    assert Prices().price_of("???", "") is None


def test_the_bound_of_the_input_is_a_token_for_each_byte_and_what_is_added() -> None:
    bounds = bounds_of_size(CallSize(text_bytes=1000, turns=3, has_tools=True, images=2), 64)
    assert (bounds.input, bounds.output) == (1000 + 500 + 48 + 1000 + 10_000, 64)
    assert bounds_of_size(CallSize(text_bytes=10, documents=1), 1).input == 1_000_000
    assert bounds_of_size(CallSize(text_bytes=10**9), 1).total == 1_000_001


# what a call needs


@pytest.mark.parametrize(("bounds", "worst"), [(CallBounds(100, -101), 1), (CallBounds(-1, 5), 1), (BOUNDS, -1)])
def test_negative_bounds_are_refused(bounds: CallBounds, worst: int) -> None:
    rules = apply_rules(subject(budget(), limit("tokens_per_minute", 100)), datetime(2026, 11, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="negative"):
        rules.amounts(bounds, worst)


def test_needs_are_by_window_and_rule() -> None:
    money, rate = budget(), limit("requests_per_minute", 10)
    tokens, permits = limit("tokens_per_minute", 100), limit("max_parallel_requests", 5)
    assert needs_of(subject(money, rate, tokens, permits), 7_000) == {
        f"rate/{rate.id}": 1,
        f"rate/{tokens.id}": 100,
        f"permits/{permits.id}": 1,
        f"budget/{money.id}/2026-11": 7_000,
    }
    later = needs_of(subject(money), at=datetime(2026, 12, 1, tzinfo=UTC))
    assert [*later] == [f"budget/{money.id}/2026-12"]


def test_each_user_has_a_balance_and_a_listed_user_another_capacity() -> None:
    everyone = limit("requests_per_minute", 10, per="user")
    ada = limit("requests_per_minute", 99, per="user", per_value="ada")
    for order in ([everyone, ada], [ada, everyone]):
        assert [*needs_of(subject(*order, user="ada"))] == [f"rate/{ada.id}/ada"]
        assert [*needs_of(subject(*order, user="bob"))] == [f"rate/{everyone.id}/bob"]
        assert [*needs_of(subject(*order))] == [f"rate/{everyone.id}"]


def test_what_callers_choose_makes_no_long_or_ambiguous_key() -> None:
    rule = budget(per="label:project")
    keys = set()
    for value in ("x" * 1000, "a/b", "2026-11/", "line\nbreak", "\ud800"):
        (key,) = needs_of(subject(rule, labels={"project": value}))
        assert len(key) < 120
        assert key.count("/") == 3
        keys.add(key)
    assert len(keys) == 5


def test_usual_costs_are_learned_by_budget_and_model() -> None:
    usual, rule = UsualCosts(), budget(mode="estimated")
    assert usual.estimate(rule.id, "m", 1000) == 1000
    for number in range(100):
        usual.note(rule.id, "m", 1000, number)
    assert usual.estimate(rule.id, "m", 1000) == 96
    assert usual.estimate(rule.id, "other", 1000) == 1000


# who makes calls


def test_a_subject_is_kept_while_its_policy_holds() -> None:
    subjects, rule = Subjects(), budget()
    policy = Policy(team_id="t", key_id="k", labels={"centre": "42"}, budgets=(rule,))
    first = subjects.of(Caller("k", policy), "ada")
    assert (first.team_id, first.key_id, first.user, first.labels, first.budgets) == (
        "t",
        "k",
        "ada",
        policy.labels,
        (rule,),
    )
    assert subjects.of(Caller("k", policy), "ada") is first
    assert subjects.of(Caller("k", policy), "bob") is not first
    changed = subjects.of(Caller("k", Policy(team_id="t", key_id="k")), "ada")
    assert (changed is first, changed.budgets) == (False, ())


def test_a_person_does_not_choose_its_user_and_a_name_is_not_recorded_in_full() -> None:
    subjects = Subjects()
    assert subjects.of(Caller("ada", Policy(team_id="t", person="ada")), "bob").user == "ada"
    assert subjects.of(Caller("team", Policy(team_id="t")), "bob").user == ""
    assert subjects.of(Caller("k", Policy(team_id="t", key_id="k")), "bob\0" + "x" * 1000).user == "bob" + "x" * 253
    assert subjects.of(Caller("environment"), "bob").user == "bob"


def test_a_key_that_names_too_many_users_has_the_others_counted_together(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    subjects = Subjects(3, lambda: clock[0])
    policy = Policy(team_id="t", key_id="k")
    named = [subjects.of(Caller("k", policy), f"session {number}").user for number in range(50)]
    assert named == ["session 0", "session 1", "session 2"] + [OTHER_USERS] * 47
    assert len(caplog.records) == 1
    # those that are known go on, calls without a user and other keys too
    assert subjects.of(Caller("k", policy), "session 1").user == "session 1"
    assert subjects.of(Caller("k", policy), "").user == ""
    assert subjects.of(Caller("l", Policy(team_id="t", key_id="l")), "session 7").user == "session 7"
    # people do not choose their names
    people = [subjects.of(Caller(f"oidc/{name}", Policy(team_id="t", person=name)), "").user for name in "abcd"]
    assert people == ["a", "b", "c", "d"]
    # whoever was counted stays so, even when the subjects are forgotten
    subjects._kept.clear()
    assert [subjects.of(Caller("k", policy), f"session {number}").user for number in (2, 0, 3)] == [
        "session 2", "session 0", OTHER_USERS,
    ]  # fmt: skip
    # the oldest counts are forgotten first
    monkeypatch.setattr("app.governance.holds.subjects._MAX_NAMED", 4)
    assert [subjects.of(Caller("l", policy), name).user for name in ("a", "b")] == ["a", "b"]
    assert subjects._count == 3
    clock[0] += 3600
    assert subjects.of(Caller("k", policy), "session 9").user == "session 9"


# calls


@pytest.fixture
async def call_limits(database: Database) -> AsyncIterator[tuple[Database, CallLimits, LeaseClient]]:
    client = LeaseClient(database, take_leases)
    await client.start()
    yield database, CallLimits(client, wall=lambda: NOON), client
    await client.close()


async def store(database: Database, *rules: Limit | Budget) -> None:
    async with database.begin() as connection:
        for rule in rules:
            if isinstance(rule, Limit):
                await limits.add(connection, rule)
            else:
                await budgets.add(connection, rule)


async def test_a_spent_budget_says_when_it_resets(call_limits: tuple[Database, CallLimits, LeaseClient]) -> None:
    database, calls, _ = call_limits
    await store(database, rule := budget(amount_nano=10_000, period="day"))
    hold = await calls.hold(subject(rule), "m", BOUNDS, 6_000)
    calls.settle(hold, 6_000, 120)
    with pytest.raises(BudgetSpent) as caught:
        await calls.hold(subject(rule), "m", BOUNDS, 6_000)
    said = "spend limit reached (daily; resets 2026-12-01 00:00 UTC): this call may cost $0.000006, more than is left"
    assert caught.value.message == said
    assert caught.value.retry_after == 12 * 3600
    assert caught.value.is_final
    assert not caught.value.retry_here
    assert not caught.value.retry_elsewhere
    await calls.hold(subject(rule), "m", BOUNDS, 4_000)


async def test_a_call_that_ends_gives_back_what_it_did_not_use(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, client = call_limits
    money, permits = budget(amount_nano=10_000), limit("max_parallel_requests", 1)
    await store(database, money, permits)
    first = await calls.hold(subject(money, permits), "m", BOUNDS, 10_000)
    with pytest.raises(LimitReached, match="limit reached: 1 parallel requests"):
        await calls.hold(subject(permits), "m", BOUNDS, 0)
    calls.settle(first, 1_000, 10)
    calls.settle(first, 1_000, 10)
    second = await calls.hold(subject(money, permits), "m", BOUNDS, 9_000)
    calls.release(second)
    calls.release(second)
    holding = client.transactions.book.of(f"budget/{money.id}/2026-11")
    assert (holding.held, holding.spent) == (0, 1_000)
    assert client.transactions.book.of(f"permits/{permits.id}").held == 0


async def test_calls_are_settled_where_their_balances_are_once_others_were_forgotten(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, client = call_limits
    rules = [budget(amount_nano=10_000), limit("max_parallel_requests", 3), limit("requests_per_minute", 9)]
    await store(database, *rules)
    who, book = subject(*rules), client.transactions.book
    holds = [await calls.hold(who, "m", BOUNDS, 1_000) for _ in range(2)]
    before = book.holdings
    book.of("budget/another/2026-11")
    book.drop_empty()
    assert book.holdings is not before
    holds.append(await calls.hold(who, "m", BOUNDS, 1_000))
    for each in holds:
        calls.settle(each, 900, 10)
    money, rates = book.of(f"budget/{rules[0].id}/2026-11"), book.of(f"rate/{rules[2].id}")
    assert (money.held, money.spent, rates.held) == (0, 2_700, 0)
    assert book.of(f"permits/{rules[1].id}").held == 0


async def test_permits_go_over_to_the_replica_that_this_process_becomes(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, client = call_limits
    await store(database, rule := limit("max_parallel_requests", 3))
    who, old = subject(rule), client.transactions.replica
    holds = [await calls.hold(who, "m", BOUNDS, 0) for _ in range(2)]
    await expire(database, old)
    assert await take_leases(database, old)
    holds.append(await calls.hold(who, "m", BOUNDS, 0))
    assert client.transactions.replica != old
    with pytest.raises(LimitReached):
        await calls.hold(who, "m", BOUNDS, 0)
    calls.release(holds[0])
    calls.leave(holds[1].request)
    for each in [*holds[1:], *[await calls.hold(who, "m", BOUNDS, 0) for _ in range(2)]]:
        calls.release(each)
    assert client.transactions.book.of(f"permits/{rule.id}").held == 0


async def test_requests_count_even_if_nothing_is_billed(call_limits: tuple[Database, CallLimits, LeaseClient]) -> None:
    database, calls, _ = call_limits
    await store(database, rate := limit("requests_per_minute", 2))
    for _ in range(2):
        calls.release(await calls.hold(subject(rate), "m", BOUNDS, None))
    with pytest.raises(LimitReached) as caught:
        await calls.hold(subject(rate), "m", BOUNDS, None)
    assert not isinstance(caught.value, BudgetSpent)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 30


async def test_a_call_without_a_price_is_refused_by_a_budget_that_blocks(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, _ = call_limits
    await store(database, blocks := budget(), warns := budget(action="warn"))
    with pytest.raises(ModelNotFound, match=r"the model 'm' is not known, or the price of it is not.* check the name"):
        await calls.hold(subject(blocks), "m", BOUNDS, None)
    with pytest.raises(BudgetSpent, match="the price of /guardrail-checks/invoke is not known"):
        await calls.hold(subject(blocks), "/guardrail-checks/invoke", BOUNDS, None)
    await calls.hold(subject(warns), "m", BOUNDS, None)


async def test_estimated_budgets_hold_what_calls_usually_cost(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, _ = call_limits
    await store(database, rule := budget(amount_nano=10**6, mode="estimated"))
    assert (await calls.hold(subject(rule), "m", BOUNDS, 1_000)).amounts == [1_000]
    for _ in range(30):
        calls.settle(await calls.hold(subject(rule), "m", BOUNDS, 1_000), 100, 1)
    assert (await calls.hold(subject(rule), "m", BOUNDS, 1_000)).amounts == [101]
    assert (await calls.hold(subject(rule), "another", BOUNDS, 1_000)).amounts == [1_000]


async def test_a_new_window_and_changed_rules_apply_at_once(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, _, client = call_limits
    await store(database, daily := budget(period="day"), more := limit("requests_per_minute", 5))
    moment = [NOON]
    calls = CallLimits(client, wall=lambda: moment[0])
    of = subject(daily)
    assert [*(await calls.hold(of, "m", BOUNDS, 1)).rules.money] == [f"budget/{daily.id}/2026-11-30"]
    moment[0] = datetime(2026, 12, 1, tzinfo=UTC)
    assert [*(await calls.hold(of, "m", BOUNDS, 1)).rules.money] == [f"budget/{daily.id}/2026-12-01"]
    assert f"rate/{more.id}" in (await calls.hold(subject(daily, more), "m", BOUNDS, 1)).rules.requests


async def test_shadow_rules_refuse_nothing(call_limits: tuple[Database, CallLimits, LeaseClient]) -> None:
    database, calls, client = call_limits
    rules = [budget(amount_nano=1, shadow=True), limit("requests_per_minute", 1, shadow=True)]
    await store(database, *rules)
    for _ in range(5):
        calls.settle(await calls.hold(subject(*rules), "m", BOUNDS, 1_000), 900, 10)
    assert client.transactions.book.of(f"budget/{rules[0].id}/2026-11").spent == 4_500


async def test_a_budget_that_warns_is_shown_as_used_once_it_is_passed(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, _ = call_limits
    rule = budget(amount_nano=10_000, action="warn")
    await store(database, rule)
    who, shown = subject(rule), []
    for _ in range(12):
        calls.settle(await calls.hold(who, "m", BOUNDS, 1_000), 1_000, 10)
        shown.append(calls.standings(who).of("budget"))
    assert [each.used for each in shown] == pytest.approx([min(0.1 * count, 1.0) for count in range(1, 13)])
    lines = [limit_headers({"budget": each}.get) for each in (shown[0], shown[-1])]
    headers = [dict(line.split(": ") for line in each) for each in lines]
    status, threshold = (
        "anthropic-ratelimit-unified-status",
        "anthropic-ratelimit-unified-overage-surpassed-threshold",
    )
    expected = [("allowed", None), ("allowed_warning", "0.95")]
    assert [(each[status], each.get(threshold)) for each in headers] == expected


async def test_headers_tell_of_the_budget_that_refused_or_else_of_the_tightest(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, _ = call_limits
    rules = [budget(amount_nano=100_000, period="day"), budget(amount_nano=20_000)]
    hidden = budget(amount_nano=10_001, period="week", shadow=True)
    await store(database, *rules, hidden)
    who = subject(*rules, hidden)
    calls.settle(await calls.hold(who, "m", BOUNDS, 10_000), 10_000, 10)
    tightest = calls.standings(who).of("budget")
    assert tightest is not None
    assert (tightest.capacity, tightest.remaining, tightest.has_refused) == (20_000, 10_000, False)
    (refusing, *_) = apply_rules(who, NOON).money
    told = calls.standings(who, refusing).of("budget")
    assert told is not None
    assert (told.capacity, told.has_refused) == (100_000, True)
    assert calls.standings(who).of("tokens_per_minute") is None


async def test_lines_of_headers_are_rendered_once_in_a_while(
    call_limits: tuple[Database, CallLimits, LeaseClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rendered = [0.0], []
    monkeypatch.setattr("app.governance.holds.standing.time.monotonic", lambda: clock[0])
    standings = call_limits[1].standings(subject())

    def render(_: object) -> list[str]:
        rendered.append(clock[0])
        return [f"left: {len(rendered)}"]

    assert [standings.lines(render) for _ in range(3)] == [["left: 1"]] * 3
    clock[0] = 1.0
    assert standings.lines(render) == ["left: 2"]
    assert rendered == [0.0, 1.0]


async def test_what_a_call_holds_is_no_use_of_a_budget_that_a_client_is_warned_of(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    database, calls, _ = call_limits
    rule = budget(amount_nano=10_000)
    await store(database, rule)
    who, used = subject(rule), []

    def used_of_budget() -> float:
        standing = calls.standings(who).of("budget")
        assert standing is not None
        return standing.used

    hold = await calls.hold(who, "m", BOUNDS, 9_900)
    used.append(used_of_budget())
    calls.settle(hold, 8_000, 10)
    used.append(used_of_budget())
    assert used == [0.0, pytest.approx(0.8)]


async def test_a_call_without_limits_needs_no_transaction(
    call_limits: tuple[Database, CallLimits, LeaseClient],
) -> None:
    _, calls, client = call_limits
    calls.release(await calls.hold(subject(), "m", BOUNDS, None))
    assert client.transactions.book.holdings == {}


@pytest.mark.parametrize("fail_open", [False, True])
async def test_without_the_database_calls_are_refused_unless_they_may_pass(
    call_limits: tuple[Database, CallLimits, LeaseClient], monkeypatch: pytest.MonkeyPatch, fail_open: bool
) -> None:
    _, _, client = call_limits

    async def unavailable(*_: object) -> None:
        raise LeasesUnavailable

    monkeypatch.setattr(client, "acquire", unavailable)
    calls = CallLimits(client, fail_open=fail_open, wall=lambda: NOON)
    rule = budget()
    if fail_open:
        calls.settle(await calls.hold(subject(rule), "m", BOUNDS, 5_000), 4_000, 1)
        holding = client.transactions.book.of(f"budget/{rule.id}/2026-11")
        assert (holding.held, holding.spent, holding.idle) == (0, 4_000, -4_000)
    else:
        with pytest.raises(Overloaded, match="spend limit unavailable"):
            await calls.hold(subject(rule), "m", BOUNDS, 1)


@pytest.mark.parametrize(
    ("rules", "is_refused"),
    [
        ([budget(action="warn"), limit("requests_per_minute", 1, shadow=True)], False),
        ([budget(shadow=True)], False),
        ([budget(action="warn"), limit("max_parallel_requests", 1)], True),
    ],
)
async def test_without_the_database_rules_that_refuse_nothing_refuse_nothing(
    call_limits: tuple[Database, CallLimits, LeaseClient],
    monkeypatch: pytest.MonkeyPatch,
    rules: list[Limit | Budget],
    is_refused: bool,
) -> None:
    _, calls, client = call_limits

    async def unavailable(*_: object) -> None:
        raise LeasesUnavailable

    monkeypatch.setattr(client, "acquire", unavailable)
    if is_refused:
        with pytest.raises(Overloaded):
            await calls.hold(subject(*rules), "m", BOUNDS, 1)
        return
    calls.settle(await calls.hold(subject(*rules), "m", BOUNDS, 5_000), 4_000, 1)
    assert client.transactions.book.of(f"budget/{rules[0].id}/2026-11").spent == 4_000


async def test_parallel_calls_at_a_dollar_never_pass_it(call_limits: tuple[Database, CallLimits, LeaseClient]) -> None:
    database, calls, _ = call_limits
    await store(database, rule := budget(amount_nano=10**9))
    spent = 0

    async def call() -> None:
        nonlocal spent
        try:
            hold = await calls.hold(subject(rule), "m", BOUNDS, 30_000_000)
        except BudgetSpent:
            return
        await asyncio.sleep(0.001)
        calls.settle(hold, 30_000_000, 1)
        spent += 30_000_000

    await asyncio.gather(*[call() for _ in range(500)])
    assert spent == 33 * 30_000_000


@pytest.mark.parametrize("kind", ["requests_per_minute", "max_parallel_requests"])
async def test_parts_of_a_request_wait_until_the_first_is_admitted(
    call_limits: tuple[Database, CallLimits, LeaseClient], kind: Any
) -> None:
    """Else the others would be sent although the request is refused."""
    database, calls, _ = call_limits
    await store(database, rule := limit(kind, 1))
    of = subject(rule)
    admitted = RequestHold()
    holds = await asyncio.gather(*[calls.hold(of, "m", BOUNDS, 1, admitted) for _ in range(4)])
    assert (admitted.attempts, admitted.is_counted) == (4, True)
    refused = RequestHold()
    parts = [calls.hold(of, "m", BOUNDS, 1, refused) for _ in range(4)]
    found = await asyncio.gather(*parts, return_exceptions=True)
    assert [type(each) for each in found] == [LimitReached] * 4
    assert (refused.attempts, refused.is_counted, refused.permits) == (0, False, None)
    for hold in holds:
        calls.release(hold)


@pytest.mark.parametrize(
    ("amount", "need", "changes", "cost"),
    [
        (25 * 10**9, 110 * 10**9, {}, "110.00"),
        (300_000, 700_000, {}, "0.0007"),
        (
            20 * 10**9,
            30 * 10**9,
            {"override_nano": 50 * 10**9, "override_until": datetime(2026, 1, 1, tzinfo=UTC)},
            "30.00",
        ),
        (50 * 10**9, 30 * 10**9, {"override_nano": 20 * 10**9}, "30.00"),
    ],
)
async def test_a_call_that_costs_more_than_a_budget_is_told_so(
    call_limits: tuple[Database, CallLimits, LeaseClient], amount: int, need: int, changes: Any, cost: str
) -> None:
    database, calls, _ = call_limits
    await store(database, rule := budget(amount_nano=amount, period="day", **changes))
    with pytest.raises(BudgetSpent, match=rf"reached \(daily; .*\): this call may cost \${cost}, more than the limit"):
        await calls.hold(subject(rule), "m", BOUNDS, need)
