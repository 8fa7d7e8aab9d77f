"""The failures of budgets and limits that users of other gateways have reported, and the test that excludes each here."""

import ast
import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.errors import GatewayError
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import AttemptHold, CallLimits
from app.governance.leases.client import LeaseClient
from app.governance.ledger.posting import take_leases
from app.storage.database import Database
from tests.governance.test_holds import NOON, budget, limit, store, subject

TESTS = Path(__file__).parents[1]
BOUNDS = CallBounds(60, 40)

_BUDGETS, _LEASES, _LEDGER = "end_to_end/test_budgets.py", "governance/test_leases.py", "governance/test_ledger.py"
_HOLDS, _ATTEMPTS, _BOUNDS = (
    "governance/test_holds.py",
    "execution/test_governed_attempt.py",
    "execution/test_call_bounds.py",
)
_TROUBLE, _ADMIN, _HERE = (
    "end_to_end/test_database_trouble.py",
    "admin/api/test_end_to_end.py",
    "governance/test_failures_of_peers.py",
)
# what was reported, with the files and names of the tests
FAILURES = {
    "1 spending passes the budget of a key": [
        (_BUDGETS, "test_a_budget_for_16_of_300_calls_at_once_lets_exactly_16_through")
    ],
    "2 a race between the check and the increment": [
        (_BUDGETS, "test_four_gateways_with_500_calls_each_never_pass_a_dollar")
    ],
    "3 first calls of a new user pass the default budget": [(_HERE, "test_first_calls_of_a_new_user_share_its_budget")],
    "4 reservations are too small": [
        (_HOLDS, "test_no_call_costs_more_than_its_worst_case"),
        (_BOUNDS, "test_several_answers_and_lengths_of_a_native_call_are_held_for"),
        (_BOUNDS, "test_tools_that_bedrock_runs_are_held_for_with_a_context_each_time"),
        (_BOUNDS, "test_media_is_counted_beside_other_members"),
    ],
    "5 budgets multiply by replicas after an outage": [
        (_BUDGETS, "test_a_database_that_stops_under_load_loses_nothing")
    ],
    "6 tokens a minute multiply by replicas": [(_HERE, "test_tokens_a_minute_are_not_multiplied_by_replicas")],
    "7 two counters disagree, and calls are refused for nothing": [
        (_LEASES, "test_idle_capacity_is_had_by_another_replica_within_two_seconds")
    ],
    "8 cancelled requests keep what they hold": [(_ATTEMPTS, "test_a_caller_who_leaves_is_charged")],
    "9 a restart leaves counters without limits": [
        (_LEDGER, "test_a_killed_process_has_each_attempt_once_after_the_restart"),
        (_HERE, "test_limits_refuse_after_a_restart"),
    ],
    "10 the reset of a user's budget is not seen": [(_HERE, "test_the_budget_of_a_user_begins_anew_on_all_replicas")],
    "11 calls are refused after a reset": [(_HERE, "test_the_budget_of_a_user_begins_anew_on_all_replicas")],
    "12 a budget never resets": [("governance/test_balance.py", "test_windows_are_in_utc")],
    "13 spending is lost when a commit fails": [(_LEDGER, "test_a_batch_whose_answer_is_lost_counts_once")],
    "14 deadlocks lose increments": [(_HERE, "test_calls_with_the_same_budgets_in_other_orders_do_not_deadlock")],
    "15 updates of counters limit the throughput": [(_ATTEMPTS, "test_the_usual_request_makes_no_round_trip")],
    "16 parallel requests are never released": [(_BUDGETS, "test_five_at_once_are_five")],
    "17 callers who leave use up parallel requests": [
        (_ATTEMPTS, "test_callers_who_leave_release_their_parallel_request"),
        (_ATTEMPTS, "test_a_caller_who_leaves_lets_what_was_sent_end_and_nothing_more"),
        (_ATTEMPTS, "test_the_stream_of_a_caller_who_has_left_is_read_to_its_end"),
    ],
    "18 a refused call is counted": [(_LEASES, "test_a_refusal_writes_nothing_and_is_repeated_from_memory")],
    "19 a caller who leaves is not charged": [
        (_ATTEMPTS, "test_a_caller_who_leaves_lets_what_was_sent_end_and_nothing_more"),
        (_ATTEMPTS, "test_a_hard_budget_pays_the_worst_case_of_calls_whose_callers_leave"),
    ],
    "20 Bedrock bills an answer that nobody reads": [
        (_ATTEMPTS, "test_the_stream_of_a_caller_who_has_left_is_read_to_its_end"),
        (_ATTEMPTS, "test_what_arrived_of_a_stream_is_charged"),
    ],
    "21 streams are not charged": [(_ATTEMPTS, "test_a_stream_is_charged_when_it_ends")],
    "22 every request waits for a server that is down": [
        (_TROUBLE, "test_without_the_database_known_calls_go_on_and_none_waits")
    ],
    "23 more requests a minute pass than the limit": [(_BUDGETS, "test_ten_requests_a_minute_are_ten_over_both")],
    "24 a wrong price blocks, and only the database can be corrected": [
        (_ADMIN, "test_a_budget_that_a_wrong_price_has_spent_is_raised_over_http")
    ],
}


@pytest.mark.parametrize("failure", FAILURES)
def test_each_failure_has_its_test(failure: str) -> None:
    for path, name in FAILURES[failure]:
        tree = ast.parse((TESTS / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_failure_is_missing() -> None:
    assert [int(failure.split()[0]) for failure in FAILURES] == [*range(1, 25)]


@pytest.fixture
async def clients(database: Database) -> AsyncIterator[list[LeaseClient]]:
    """Two processes."""
    found = [LeaseClient(database, take_leases) for _ in range(2)]
    for client in found:
        await client.start()
    yield found
    for client in found:
        await client.close()


@pytest.fixture
def replicas(clients: list[LeaseClient]) -> list[CallLimits]:
    """Two processes that admit calls."""
    return [CallLimits(client) for client in clients]


async def admitted(calls: list[object]) -> list[AttemptHold]:
    found = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    assert all(isinstance(each, AttemptHold | GatewayError) for each in found), found
    return [each for each in found if isinstance(each, AttemptHold)]


async def test_first_calls_of_a_new_user_share_its_budget(database: Database, replicas: list[CallLimits]) -> None:
    await store(database, rule := budget(per="user", amount_nano=3_000))
    of = subject(rule, user="nobody knew")
    assert len(await admitted([replicas[number % 2].hold(of, "m", BOUNDS, 1_000) for number in range(20)])) == 3


async def test_tokens_a_minute_are_not_multiplied_by_replicas(database: Database, replicas: list[CallLimits]) -> None:
    await store(database, rule := limit("tokens_per_minute", 1_000))
    count, started = 0, time.monotonic()
    for _ in range(20):
        for hold in await admitted([each.hold(subject(rule), "m", BOUNDS, 0) for each in replicas]):
            count += 1
            hold_by = replicas[0] if hold.replica == replicas[0]._client.transactions.replica else replicas[1]
            hold_by.settle(hold, 0, BOUNDS.total)
    # a minute's tokens, and what is refilled while the test runs: a call each six seconds
    assert 10 <= count <= 11 + (time.monotonic() - started) / 6


async def test_limits_refuse_after_a_restart(database: Database, clients: list[LeaseClient]) -> None:
    await store(database, money := budget(amount_nano=3_000), rate := limit("requests_per_minute", 3))
    killed, restarted = clients
    for rule in (money, rate):
        holds = await admitted([CallLimits(killed).hold(subject(rule), "m", BOUNDS, 1_000) for _ in range(5)])
        assert len(holds) == 3
    assert not await admitted([CallLimits(restarted).hold(subject(rule), "m", BOUNDS, 1_000) for rule in (money, rate)])


async def test_the_budget_of_a_user_begins_anew_on_all_replicas(database: Database, clients: list[LeaseClient]) -> None:
    await store(database, rule := budget(per="user", period="day", amount_nano=2_000))
    moment = [NOON]
    replicas = [CallLimits(client, wall=lambda: moment[0]) for client in clients]
    of = subject(rule, user="ada")
    for _ in range(3):
        for hold in await admitted([each.hold(of, "m", BOUNDS, 1_000) for each in replicas]):
            replicas[hold.replica != clients[0].transactions.replica].settle(hold, 1_000, 1)
        assert not await admitted([each.hold(of, "m", BOUNDS, 1_000) for each in replicas])
        moment[0] += timedelta(days=1)
        assert len(await admitted([each.hold(of, "m", BOUNDS, 1_000) for each in replicas])) == 2
        moment[0] += timedelta(days=1)


async def test_calls_with_the_same_budgets_in_other_orders_do_not_deadlock(
    database: Database, replicas: list[CallLimits]
) -> None:
    """Each call needs many balances, of which its replica has leased nothing yet."""
    for number in range(5):
        rules = [budget(scope_id=f"t{number}", per=f"label:l{each}", amount_nano=4_000) for each in range(60)]
        await store(database, *rules)
        orders = [subject(*rules), subject(*reversed(rules))]
        calls = [replicas[index % 2].hold(orders[index % 2], "m", BOUNDS, 1_000) for index in range(10)]
        assert len(await admitted(calls)) == 4
