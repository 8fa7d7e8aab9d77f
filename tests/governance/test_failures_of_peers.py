"""The failures of budgets and limits that users of other gateways have reported, and the test that excludes each here."""

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import GatewayError
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits, Hold
from app.governance.leases.client import LeaseClient
from app.governance.ledger.posting import take_leases
from app.storage.database import Database
from tests.governance.test_holds import budget, limit, store, subject

TESTS = Path(__file__).parents[1]
BOUNDS = CallBounds(60, 40)

_BUDGETS, _LEASES, _LEDGER = "end_to_end/test_budgets.py", "governance/test_leases.py", "governance/test_ledger.py"
_HOLDS, _ATTEMPTS, _HERE = (
    "governance/test_holds.py",
    "execution/test_governed_attempt.py",
    "governance/test_failures_of_peers.py",
)
# what was reported, with the file and the name of the test
FAILURES = {
    "1 spending passes the budget of a key": (
        _BUDGETS,
        "test_a_budget_for_16_of_300_calls_at_once_lets_exactly_16_through",
    ),
    "2 a race between the check and the increment": (
        _BUDGETS,
        "test_four_gateways_with_500_calls_each_never_pass_a_dollar",
    ),
    "3 first calls of a new user pass the default budget": (_HERE, "test_first_calls_of_a_new_user_share_its_budget"),
    "4 reservations are too small": (_HOLDS, "test_no_call_costs_more_than_its_worst_case"),
    "5 budgets multiply by replicas after an outage": (
        _BUDGETS,
        "test_a_database_that_stops_under_load_loses_nothing",
    ),
    "6 tokens a minute multiply by replicas": (_HERE, "test_tokens_a_minute_are_not_multiplied_by_replicas"),
    "7 two counters disagree, and calls are refused for nothing": (
        _LEASES,
        "test_idle_capacity_is_had_by_another_replica_within_two_seconds",
    ),
    "8 cancelled requests keep what they hold": (_ATTEMPTS, "test_a_caller_who_leaves_is_charged"),
    "9 a restart leaves counters without limits": (
        _LEDGER,
        "test_a_killed_process_has_each_attempt_once_after_the_restart",
    ),
    "10 the reset of a user's budget is not seen": (_HOLDS, "test_a_new_window_and_changed_rules_apply_at_once"),
    "11 calls are refused after a reset": (_LEASES, "test_an_override_and_a_new_amount_apply_at_once"),
    "12 a budget never resets": ("governance/test_balance.py", "test_windows_are_in_utc"),
    "13 spending is lost when a commit fails": (_LEDGER, "test_a_batch_whose_answer_is_lost_counts_once"),
    "14 deadlocks lose increments": (
        "governance/test_admitting_processes.py",
        "test_four_processes_with_500_calls_each_never_pass_a_dollar",
    ),
    "15 updates of counters limit the throughput": (_ATTEMPTS, "test_the_usual_request_makes_no_round_trip"),
    "16 parallel requests are never released": (_BUDGETS, "test_five_at_once_are_five"),
    "17 callers who leave use up parallel requests": (
        _ATTEMPTS,
        "test_callers_who_leave_release_their_parallel_request",
    ),
    "18 a refused call is counted": (_LEASES, "test_a_refusal_writes_nothing_and_is_repeated_from_memory"),
    "19 a caller who leaves is not charged": (_ATTEMPTS, "test_a_caller_who_leaves_is_charged"),
    "20 Bedrock bills an answer that nobody reads": (
        _ATTEMPTS,
        "test_a_stream_that_nobody_reads_is_charged_at_an_estimate",
    ),
    "21 streams are not charged": (_ATTEMPTS, "test_a_stream_is_charged_when_it_ends"),
    "22 every request waits for a server that is down": (
        _LEASES,
        "test_without_the_database_requests_run_on_leases_and_then_fail_at_once",
    ),
    "23 more requests a minute pass than the limit": (_BUDGETS, "test_ten_requests_a_minute_are_ten_over_both"),
    "24 a wrong price blocks, and only the database can be corrected": (
        _HERE,
        "test_a_budget_that_a_wrong_price_has_spent_is_raised_at_once",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_each_failure_has_its_test(failure: str) -> None:
    path, name = FAILURES[failure]
    tree = ast.parse((TESTS / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_failure_is_missing() -> None:
    assert [int(failure.split()[0]) for failure in FAILURES] == [*range(1, 25)]


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[list[CallLimits]]:
    """Two processes that admit calls."""
    clients = [LeaseClient(database, take_leases) for _ in range(2)]
    for client in clients:
        await client.start()
    yield [CallLimits(client) for client in clients]
    for client in clients:
        await client.close()


async def admitted(calls: list[object]) -> list[Hold]:
    found = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    assert all(isinstance(each, Hold | GatewayError) for each in found), found
    return [each for each in found if isinstance(each, Hold)]


async def test_first_calls_of_a_new_user_share_its_budget(database: Database, replicas: list[CallLimits]) -> None:
    await store(database, rule := budget(per="user", amount_nano=3_000))
    of = subject(rule, user="nobody knew")
    assert len(await admitted([replicas[number % 2].hold(of, "m", BOUNDS, 1_000) for number in range(20)])) == 3


async def test_tokens_a_minute_are_not_multiplied_by_replicas(database: Database, replicas: list[CallLimits]) -> None:
    await store(database, rule := limit("tokens_per_minute", 1_000))
    count = 0
    for _ in range(20):
        for hold in await admitted([each.hold(subject(rule), "m", BOUNDS, 0) for each in replicas]):
            count += 1
            hold_by = replicas[0] if hold.replica == replicas[0]._client.transactions.replica else replicas[1]
            hold_by.settle(hold, 0, BOUNDS.total)
    # a minute's tokens, and what is refilled while the test runs
    assert 10 <= count <= 12


async def test_a_budget_that_a_wrong_price_has_spent_is_raised_at_once(
    database: Database, replicas: list[CallLimits]
) -> None:
    from sqlalchemy import update

    from app.storage.tables import budgets

    await store(database, rule := budget(amount_nano=1_000))
    (hold,) = await admitted([replicas[0].hold(subject(rule), "m", BOUNDS, 1_000)])
    replicas[0].settle(hold, 1_000, 1)
    assert not await admitted([each.hold(subject(rule), "m", BOUNDS, 1_000) for each in replicas])
    async with database.begin() as connection:
        await connection.execute(update(budgets).values(amount_nano=2_000))
    # a refusal is repeated from memory for a second at most
    await asyncio.sleep(1.05)
    assert len(await admitted([replicas[1].hold(subject(rule), "m", BOUNDS, 1_000)])) == 1
