"""The ledger compared with sums and balances, and its export, on both kinds of databases."""

import asyncio
import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from app.governance.leases.store import hold_replica, lock, write
from app.governance.ledger.entry import Entry
from app.governance.ledger.export import COLUMNS, LedgerFilter, as_document, read_entries, usd, writer
from app.governance.ledger.posting import additions_of, post
from app.governance.ledger.usage_sums import Group, add_entry, sums_of
from app.governance.ledger.verification import rebuild_usage, verify
from app.governance.maintenance.retention import delete_old_rows
from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget
from app.storage.repository import budgets

DAY = timedelta(days=1)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
KEY = "budget/b/2026-11"


def entry(number: int, at: datetime, **changes: Any) -> Entry:
    given: dict[str, Any] = {
        "attempt_id": f"a{number}", "phase": "settle", "at": at, "replica_id": "r", "team_id": "t", "key_id": "k",
        "model_served": "m", "labels": {"z": "1", "a": "2"}, "input_tokens": 10, "output_tokens": number,
        "cost_nano": 100, "charged_to": {KEY: 100},
    }  # fmt: skip
    return Entry(**given | changes)


async def post_entries(database: Database, *entries: Entry) -> None:
    async with database.begin() as connection:
        now_us, _ = await hold_replica(connection, "r")
        rows = await lock(connection, "r", now_us, {KEY})
        await post(connection, rows, entries)
        await write(connection, rows)


@pytest.fixture
async def posted(database: Database) -> Database:
    """A budget of November, and twelve entries on four days."""
    async with database.begin() as connection:
        await budgets.add(connection, Budget(id="b", scope="team", scope_id="t", period="month", amount_nano=10**9))
        await connection.execute(
            insert(tables.balances).values(
                key=KEY, kind="budget", source_id="b", settled=0, leased=0, refilled_at_ns=0, recalled_at_us=0
            )
        )
    await post_entries(
        database, *[entry(number, FIRST + number * timedelta(hours=7), user=f"u{number % 2}") for number in range(12)]
    )
    await post_entries(database, entry(99, FIRST, phase="hold", charged_to={KEY: 5000}))
    return database


async def test_what_was_posted_verifies(posted: Database) -> None:
    found = await verify(posted, FIRST)
    assert (found.since, found.days, found.entries, found.differs) == (FIRST, 4, 12, False)
    assert (await verify(posted, FIRST + 2 * DAY)).days == 2


async def test_wrong_sums_and_balances_are_found_and_sums_are_rebuilt(posted: Database) -> None:
    usage = tables.usage
    async with posted.begin() as connection:
        of_day = (usage.c.interval == "day") & (usage.c.start == FIRST) & (usage.c.user == "u0")
        await connection.execute(update(usage).where(of_day).values(requests=usage.c.requests + 3, cost_nano=0))
        lost = (usage.c.interval == "hour") & (usage.c.start == FIRST + timedelta(hours=7))
        await connection.execute(delete(usage).where(lost))
        await connection.execute(update(tables.balances).values(settled=1100))
    found = await verify(posted, FIRST)
    wrong = {
        (each.group["interval"], each.group["user"]): each.missing for each in found.usage if each.table == "usage"
    }
    assert wrong == {
        ("day", "u0"): {"requests": -3, "cost_nano": 200},
        ("hour", "u1"): {"requests": 1, "input_tokens": 10, "output_tokens": 1, "cost_nano": 100},
    }
    assert [(each.key, each.settled, each.charged) for each in found.balances] == [(KEY, 1100, 1200)]
    assert await rebuild_usage(posted, FIRST) == 2
    assert await rebuild_usage(posted, FIRST) == 0
    assert (await verify(posted, FIRST)).usage == []


async def test_wrong_totals_are_found_and_rebuilt_by_themselves(posted: Database) -> None:
    totals = tables.usage_totals
    async with posted.begin() as connection:
        of_key = (totals.c.dimension == "key") & (totals.c.start == FIRST) & (totals.c.interval == "day")
        await connection.execute(update(totals).where(of_key).values(requests=totals.c.requests - 1))
    (wrong,) = (await verify(posted, FIRST)).usage
    assert (wrong.table, wrong.group["dimension"], wrong.missing) == ("usage_totals", "key", {"requests": 1})
    assert await rebuild_usage(posted, FIRST) == 1
    assert not (await verify(posted, FIRST)).differs


async def test_a_charged_lease_of_a_lost_replica_is_part_of_what_is_settled(posted: Database) -> None:
    async with posted.begin() as connection:
        times = {"host": "h", "version": "1", "sequence": 0, "started_at_us": 0, "expires_at_us": 0}
        await connection.execute(insert(tables.replicas).values(id="lost", state="lost", **times))
        await connection.execute(
            insert(tables.leases).values(replica_id="lost", balance_key=KEY, amount=70, is_charged=True)
        )
        await connection.execute(update(tables.balances).values(settled=1270))
    assert not (await verify(posted, FIRST)).differs


async def test_deleted_days_are_neither_verified_nor_rebuilt(posted: Database) -> None:
    """Otherwise their sums, which are kept, would become 0."""
    deleted = await delete_old_rows(posted, 40, FIRST + 42 * DAY)
    assert deleted["ledger"] == 8
    found = await verify(posted, FIRST)
    assert (found.since, found.days, found.differs) == (FIRST + 2 * DAY, 2, False)
    assert await rebuild_usage(posted, FIRST) == 0
    # a day of which a part is gone
    async with posted.begin() as connection:
        first = tables.ledger.c.at < FIRST + 2 * DAY + timedelta(hours=5)
        await connection.execute(delete(tables.ledger).where(first))
    assert (await verify(posted, FIRST)).since == FIRST + 3 * DAY


async def test_an_empty_ledger_verifies(database: Database) -> None:
    assert (await verify(database, FIRST)).since is None


async def test_sums_are_rebuilt_while_replicas_post(posted: Database) -> None:
    async with posted.begin() as connection:
        await connection.execute(delete(tables.usage))
        await connection.execute(delete(tables.usage_totals))

    async def post_more() -> None:
        for number in range(100, 130):
            await post_entries(posted, entry(number, FIRST + timedelta(minutes=number)))

    posting = asyncio.create_task(post_more())
    for _ in range(5):
        await rebuild_usage(posted, FIRST)
    await posting
    for day in range(4):
        await rebuild_usage(posted, FIRST + day * DAY)
    assert not (await verify(posted, FIRST)).differs


async def exported(database: Database, kind: Any, wanted: LedgerFilter) -> str:
    head, line_of = writer(kind)
    return head + "".join([line_of(as_document(each)) async for each in read_entries(database, wanted)])


async def test_entries_are_exported_in_the_order_of_time(posted: Database) -> None:
    lines = (await exported(posted, "jsonl", LedgerFilter())).splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert len(found) == 13
    assert tuple(found[3]) == COLUMNS
    wanted = {
        "attempt_id": "a2", "phase": "settle", "at": "2026-11-01T14:00:00.000000Z", "user": "u0",
        "labels": {"z": "1", "a": "2"}, "cost_usd": "0.000000100", "charged_to": {KEY: 100}, "is_estimated": False,
    }  # fmt: skip
    assert {name: found[3][name] for name in wanted} == wanted


async def test_an_export_is_of_a_time_a_team_or_a_key(posted: Database) -> None:
    await post_entries(posted, entry(50, FIRST + DAY, team_id="other", key_id="k2", charged_to={}))

    async def attempts(wanted: LedgerFilter) -> set[str]:
        return {each.attempt_id async for each in read_entries(posted, wanted)}

    assert await attempts(LedgerFilter(since=FIRST + DAY, until=FIRST + 2 * DAY)) == {"a4", "a5", "a6", "a50"}
    assert await attempts(LedgerFilter(team_id="other")) == await attempts(LedgerFilter(key_id="k2")) == {"a50"}


async def test_csv_has_a_heading_and_no_formulas(database: Database) -> None:
    row: Mapping[str, Any] = {
        "user": '=HYPERLINK("http://x")', "model_asked": "a,b\n", "cost_nano": None, "labels": {"a": '"'},
        "charged_to": {},
    }  # fmt: skip
    async with database.begin() as connection:
        await connection.execute(
            insert(tables.ledger).values(
                {name: getattr(entry(1, FIRST), name) for name in Entry.__struct_fields__} | dict(row)
            )
        )
    (found,) = csv.DictReader(io.StringIO(await exported(database, "csv", LedgerFilter())))
    assert tuple(found) == COLUMNS
    assert found["user"] == '\'=HYPERLINK("http://x")'
    assert (found["model_asked"], found["labels"], found["cost_usd"]) == ("a,b\n", '{"a":"\\""}', "")
    assert (found["is_estimated"], found["input_tokens"]) == ("false", "10")


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.000000000"), (1, "0.000000001"), (-1_500_000_000, "-1.500000000"), (10**19 + 7, "10000000000.000000007")],
)
def test_money_is_written_exactly(nano: int, text: str) -> None:
    assert usd(nano) == text


def test_a_hold_is_in_no_sum() -> None:
    assert sums_of([[entry(1, FIRST, phase="hold")]]) == {}


def test_entries_add_the_same_together_as_one_by_one() -> None:
    """Over the end of a day, with failures, estimates, corrections, unknown prices and several balances."""
    kinds: list[dict[str, Any]] = [
        {},
        {"user": "u", "labels": {"z": "1"}, "charged_to": {KEY: 100, "budget/c/total": 100}},
        {"outcome": "cut_off", "is_estimated": True},
        {"outcome": "throttled", "input_tokens": 0, "output_tokens": 0, "cost_nano": 0, "charged_to": {}},
        {"cost_nano": None, "charged_to": {}},
        {"phase": "adjust", "input_tokens": -7, "cost_nano": -30, "charged_to": {KEY: -30}},
        {"phase": "hold", "charged_to": {KEY: 900}},
    ]
    start = FIRST - timedelta(minutes=90)
    entries = [entry(index, start + index * timedelta(minutes=4), **kinds[index % len(kinds)]) for index in range(50)]
    alone: dict[Group, dict[str, int]] = {}
    for each in entries:
        add_entry(alone, each)
    together = additions_of(entries)
    assert together.sums == alone
    assert {group[1].hour for group in alone if group[0] == "hour"} == {22, 23, 0, 1}
    assert together.charges == {
        key: sum(each.charged_to.get(key, 0) for each in entries if each.phase != "hold")
        for key in (KEY, "budget/c/total")
    }
    of_day = [row for group, row in alone.items() if group[0] == "day"]
    assert sum(row["requests"] for row in of_day) == sum(index % 7 in (0, 1, 2, 4) for index in range(50))
    assert sum(row["unpriced_requests"] for row in of_day) == sum(index % 7 == 4 for index in range(50))
    assert sum(row["estimated_nano"] for row in of_day) == 100 * sum(index % 7 == 2 for index in range(50))


async def test_calls_that_bedrock_refuses_add_no_sums(posted: Database) -> None:
    """A caller could name any number of models that do not exist."""
    nothing = {"input_tokens": 0, "output_tokens": 0, "cost_nano": 0, "charged_to": {}, "outcome": "model_not_found"}
    await post_entries(posted, *[entry(200 + each, FIRST, model_served=f"m{each}", **nothing) for each in range(5)])
    async with posted.begin(reads=True) as connection:
        models = {row.model for row in await connection.execute(select(tables.usage.c.model))}
    assert models == {"m"}
    assert not (await verify(posted, FIRST)).differs
