"""Usage, spend and ledger, on both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text

from app.admin.api.documents.reports import LedgerQuery, SpendQuery, UsageQuery
from app.admin.api.documents.teams_and_keys import KeyCreate, TeamChange, TeamCreate
from app.admin.api.operations import keys, teams
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import Invalid
from app.admin.api.operations.ledger import list_ledger
from app.admin.api.operations.own import own_limits, own_usage
from app.admin.api.operations.spend import spend_rows
from app.admin.api.operations.usage import usage_rows
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits
from app.governance.holds.needs import Subject
from app.governance.identity.caller import Caller, Policy
from app.governance.leases.client import LeaseClient
from app.governance.ledger.entry import Entry
from app.governance.ledger.posting import take_leases
from app.governance.ledger.usage_sums import GROUP, add_to_usage
from app.governance.ledger.writer import LedgerWriter
from app.storage import repository
from app.storage.database import Database
from app.storage.records import new_id, now
from app.wire import json

ACTOR = Actor("key:ops")
CENT = 10_000_000
DAY = datetime(2026, 11, 30, tzinfo=UTC)


async def add_usage(database: Database, at: datetime, **group: Any) -> None:
    """Add what the ledger's writer would: sums of the hour and of the day."""
    labels = json.dumps(group.pop("labels", {})).decode()
    sums = {
        "requests": 2, "input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 5, "cache_write_tokens": 4,
        "cache_write_1h_tokens": 3, "reasoning_tokens": 2, "cost_nano": CENT, "estimated_nano": 0, "unpriced_requests": 0,
    }  # fmt: skip
    names = {"team_id": "t", "key_id": "k", "user": "", "model": "m", "labels": labels, **group}
    hour = at.replace(minute=0, second=0, microsecond=0)
    times = (("hour", hour), ("day", hour.replace(hour=0)))
    async with database.begin() as connection:
        of_times = [{**names, "interval": interval, "start": start} for interval, start in times]
        await add_to_usage(connection, {tuple(each[name] for name in GROUP): sums for each in of_times})


async def rows_of(database: Database, **query: Any) -> list[dict[str, Any]]:
    """Return all rows, read in pages of two."""
    found: list[dict[str, Any]] = []
    cursor = ""
    async with database.begin(reads=True) as connection:
        while True:
            wanted = UsageQuery.model_validate({"limit": 2, **query, "cursor": cursor})
            page = await usage_rows(connection, wanted)
            found += [each.model_dump(mode="json", exclude_unset=True) for each in page.data]
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor


RANGE = {"from": "2026-11-01", "to": "2026-12-02"}


async def test_usage_is_summed_up_by_group_and_interval(database: Database) -> None:
    await add_usage(database, DAY + timedelta(hours=3), model="a", labels={"project": "crm", "env": "prod"})
    await add_usage(database, DAY + timedelta(hours=5), model="b", user="ada", labels={"project": "crm"})
    await add_usage(database, DAY + timedelta(days=1, hours=5), model="b", user="bob")
    (total,) = await rows_of(database, **RANGE)
    assert total == {
        "start": "2026-11-01T00:00:00Z", "requests": 6, "input_tokens": 300, "output_tokens": 30,
        "cache_read_tokens": 15, "cache_write_tokens": 12, "cache_write_1h_tokens": 9, "reasoning_tokens": 6,
        "cost_usd": "0.03", "estimated_usd": "0.00", "unpriced_requests": 0,
    }  # fmt: skip
    by_month = await rows_of(database, **RANGE, interval="month")
    assert [(row["start"], row["requests"]) for row in by_month] == [
        ("2026-11-01T00:00:00Z", 4),
        ("2026-12-01T00:00:00Z", 2),
    ]
    by_model = await rows_of(database, **RANGE, group_by="model", interval="day")
    assert [(row["start"][:10], row["model"], row["requests"]) for row in by_model] == [
        ("2026-11-30", "a", 2),
        ("2026-11-30", "b", 2),
        ("2026-12-01", "b", 2),
    ]
    by_hour = await rows_of(database, **RANGE, interval="hour")
    assert [row["start"][8:13] for row in by_hour] == ["30T03", "30T05", "01T05"]
    by_label = await rows_of(database, **RANGE, group_by="label:project,user")
    assert [(row["labels"]["project"], row["user"], row["requests"]) for row in by_label] == [
        ("crm", "", 2),
        ("crm", "ada", 2),
        ("", "bob", 2),
    ]
    by_labels = await rows_of(database, **RANGE, group_by="label,team,key")
    assert {json.dumps(row["labels"]) for row in by_labels} == {
        b"{}", b'{"project":"crm"}', b'{"project":"crm","env":"prod"}',
    }  # fmt: skip
    assert {(row["team_id"], row["key_id"]) for row in by_labels} == {("t", "k")}


async def test_the_end_of_a_sum_need_not_be_a_whole_day(database: Database) -> None:
    for hour, model in ((3, "a"), (9, "b")):
        await add_usage(database, DAY + timedelta(hours=hour), model=model)
    for query in ({"from": "2026-11-01"}, {}):
        (total,) = await rows_of(database, to="2026-11-30T06:00:00Z", **query)
        assert total["requests"] == 2, query
    (total,) = await rows_of(database, to="2026-11-30T06:00:00Z", **{"from": "2026-11-30T02:30:00Z"})
    assert total["start"] == "2026-11-30T02:00:00Z", "what was summed up"


async def test_usage_is_filtered(database: Database) -> None:
    await add_usage(database, DAY, user="ada", team_id="one")
    await add_usage(database, DAY, team_id="two", key_id="x", model="b")
    for query, found in (
        ({"team_id": "one"}, 2),
        ({"user": "ada"}, 2),
        ({"user": ""}, 2),
        ({"key_id": "x", "model": "b"}, 2),
        ({"key_id": "x", "user": "ada"}, 0),
        ({"from": "2026-11-30T01:00:00Z"}, 0),
        ({"to": "2026-11-30"}, 0),
        ({}, 4),
    ):
        (total,) = await rows_of(database, **{**RANGE, **query})
        assert total["requests"] == found, query


async def test_usage_of_recent_days_is_shown_without_a_range(database: Database) -> None:
    await add_usage(database, now() - timedelta(days=2))
    await add_usage(database, now() - timedelta(days=40))
    assert [row["requests"] for row in await rows_of(database, interval="day")] == [2]


@pytest.mark.parametrize("cursor", ["x", "W10", "WyIyMDI2LTExLTMwIiwieCJd", "WyIxIiwiMiIsIjMiXQ"])
async def test_other_cursors_are_refused(database: Database, cursor: str) -> None:
    async with database.begin(reads=True) as connection:
        with pytest.raises(Invalid, match="cursor"):
            await usage_rows(connection, UsageQuery(group_by="model", interval="hour", cursor=cursor))


async def test_usage_reads_no_row_of_the_ledger(database: Database) -> None:
    """Ten millions of entries must not make it slow."""
    await add_usage(database, DAY)
    async with database.begin() as connection:
        await connection.execute(text("drop table ledger"))
    assert [row["requests"] for row in await rows_of(database, **RANGE, group_by="key")] == [2]


async def make_calls(database: Database, folder: Path, subject: Subject, *costs: int | None) -> None:
    """Hold and settle a call for each cost; one without a cost stays open. The balances are as they were left."""
    client = LeaseClient(database, take_leases)
    await client.start()
    ledger = LedgerWriter(client, folder)
    await ledger.start()
    limits = CallLimits(client)
    for cost in costs:
        hold = await limits.hold(subject, "m", CallBounds(10, 10), 5 * CENT)
        charged = dict(zip(hold.rules.money, hold.amounts, strict=False))
        entry = Entry(
            attempt_id=new_id(), phase="hold", replica_id=hold.replica, request_id=new_id(), team_id=subject.team_id,
            key_id=subject.key_id, user=subject.user, model_served="m", labels=subject.labels, charged_to=charged,
        )  # fmt: skip
        ledger.admit(entry)
        if cost is not None:
            limits.settle(hold, cost, 7)
            members = {"phase": "settle", "cost_nano": cost, "charged_to": dict.fromkeys(charged, cost)}
            ledger.settle(structs.replace(entry, **members))
    await ledger.close()
    await client._housekeeping.close()


async def budget_team(database: Database, *budgets: dict[str, Any], **members: Any) -> Subject:
    """Create a team with budgets; return the subject of its calls."""
    async with database.begin() as connection:
        body = TeamCreate.model_validate({"name": new_id(), "budgets": [*budgets], **members})
        team = await teams.create_team(connection, ACTOR, body)
        rows = await repository.budgets.find(connection), await repository.limits.find(connection)
    return Subject(team.id, "k", user="ada", labels={"project": "crm"}, budgets=rows[0], limits=rows[1])


async def test_spend_shows_what_is_posted_held_and_left(database: Database, tmp_path: Path) -> None:
    subject = await budget_team(
        database,
        {"amount_usd": "1.00", "period": "month"},
        {"amount_usd": "2.00", "period": "total", "per": "user"},
        {"amount_usd": "3.00", "period": "day", "per": "user", "value": "bob"},
    )
    await make_calls(database, tmp_path, subject, 2 * CENT, 3 * CENT, None)
    async with database.begin(reads=True) as connection:
        first = await spend_rows(connection, SpendQuery(limit=2))
        assert first.next_cursor is not None
        rest = await spend_rows(connection, SpendQuery(limit=2, cursor=first.next_cursor))
        assert rest.next_cursor is None
        assert (await spend_rows(connection, SpendQuery(team_id="nobody"))).data == []
        assert len((await spend_rows(connection, SpendQuery(team_id=subject.team_id))).data) == 3
    shown = {row.period: row.model_dump(mode="json") for row in [*first.data, *rest.data]}
    month, total, day = shown["month"], shown["total"], shown["day"]
    assert (month["amount_usd"], month["posted_usd"]) == ("1.00", "0.05")
    # the call that runs holds five cents, and the replica has leased some more
    assert float(month["held_usd"]) >= 0.05
    assert float(month["posted_usd"]) + float(month["held_usd"]) + float(month["remaining_usd"]) == pytest.approx(1)
    assert datetime.fromisoformat(month["resets_at"]) > now()
    assert (total["value"], total["posted_usd"], total["resets_at"]) == ("ada", "0.05", None)
    assert (day["value"], day["posted_usd"], day["remaining_usd"]) == ("bob", "0.00", "3.00")


async def test_spend_of_a_key_has_that_of_its_team(database: Database) -> None:
    subject = await budget_team(database, {"amount_usd": "1.00", "period": "month"})
    other = await budget_team(database, {"amount_usd": "1.00", "period": "month"})
    async with database.begin() as connection:
        body = {"name": "k", "team_id": subject.team_id, "budgets": [{"amount_usd": "2.00", "period": "day"}]}
        key = await keys.create_key(connection, ACTOR, KeyCreate.model_validate(body), b"p" * 32)
        of_key = await spend_rows(connection, SpendQuery(key_id=key.id))
        of_team = await spend_rows(connection, SpendQuery(team_id=subject.team_id))
        of_both = await spend_rows(connection, SpendQuery(team_id=other.team_id, key_id=key.id))
    assert {row.scope_id for row in of_key.data} == {row.scope_id for row in of_team.data} == {key.id, subject.team_id}
    assert of_both.data == []


async def test_an_override_counts_until_its_end(database: Database) -> None:
    override = {"amount_usd": "5.00", "until": (now() + timedelta(hours=1)).isoformat()}
    subject = await budget_team(database, {"amount_usd": "1.00", "period": "month", "override": override})
    async with database.begin() as connection:
        (row,) = (await spend_rows(connection, SpendQuery())).data
        override["until"] = (now() - timedelta(hours=1)).isoformat()
        budget = {"amount_usd": "1.00", "period": "month", "override": override}
        await teams.change_team(connection, ACTOR, subject.team_id, TeamChange.model_validate({"budgets": [budget]}))
        (later,) = (await spend_rows(connection, SpendQuery())).data
    assert (row.amount_usd, later.amount_usd) == (500 * CENT, 100 * CENT)


async def test_the_ledger_is_listed_in_pages(database: Database, tmp_path: Path) -> None:
    subject = await budget_team(database, {"amount_usd": "1.00", "period": "month"})
    await make_calls(database, tmp_path, subject, 2 * CENT, 3 * CENT, 4 * CENT)
    found: list[Any] = []
    cursor = ""
    async with database.begin(reads=True) as connection:
        while True:
            page = await list_ledger(connection, LedgerQuery(phase="settle", limit=2, cursor=cursor))
            found += page.data
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
        one = await list_ledger(connection, LedgerQuery(attempt_id=found[0].attempt_id, user="ada"))
        assert (await list_ledger(connection, LedgerQuery(key_id="other"))).data == []
        assert (await list_ledger(connection, LedgerQuery(since=now() + timedelta(hours=1)))).data == []
        with pytest.raises(Invalid, match="cursor"):
            await list_ledger(connection, LedgerQuery(cursor="WyJhIiwiYiIsImMiLDFd"))
    assert [each.cost_usd for each in found] == [4 * CENT, 3 * CENT, 2 * CENT]
    assert "settle" in {each.phase for each in one.data}
    shown = found[0].model_dump(mode="json")
    assert (shown["cost_usd"], [*shown["charged_to"].values()], shown["team_id"]) == ("0.04", ["0.04"], subject.team_id)


def caller_of(subject: Subject, key_id: str = "k", person: str = "") -> Caller:
    policy = Policy(
        team_id=subject.team_id, key_id=key_id, name="own", person=person, labels=subject.labels,
        limits=tuple(subject.limits), budgets=tuple(subject.budgets),
    )  # fmt: skip
    return Caller(key_id, policy)


async def test_callers_see_their_own_limits_and_what_is_left(database: Database, tmp_path: Path) -> None:
    limits = {"requests_per_minute": 100, "max_parallel_requests": 5}
    per = [{"per": "user", "tokens_per_minute": 1000}, {"per": "user", "value": "bob", "tokens_per_minute": 1}]
    subject = await budget_team(database, {"amount_usd": "1.00", "period": "month"}, limits=limits, limits_per=per)
    await make_calls(database, tmp_path, subject, 2 * CENT, None)
    async with database.begin(reads=True) as connection:
        shown = await own_limits(connection, caller_of(subject), "ada")
        nothing = await own_limits(connection, Caller("tests"))
        of_person = await own_limits(connection, caller_of(subject, key_id="", person="eve"), "bob")
        of_key_of_person = await own_limits(connection, caller_of(subject, person="eve"), "bob")
    left = {limit.kind: (limit.capacity, limit.remaining, limit.value) for limit in shown.limits}
    assert left["requests_per_minute"][0] == 100
    assert 90 <= left["requests_per_minute"][1] < 100
    assert left["max_parallel_requests"][1] < 5
    assert (left["tokens_per_minute"][0], left["tokens_per_minute"][2]) == (1000, "ada")
    (budget,) = shown.budgets
    assert (budget.posted_usd, budget.remaining_usd < 93 * CENT) == (2 * CENT, True)
    assert (nothing.limits, nothing.budgets) == ([], [])
    for each in (of_person, of_key_of_person):
        assert {limit.value for limit in each.limits} == {"", "eve"}


async def test_a_value_with_a_budget_of_its_own_is_shown_as_it_is(database: Database, tmp_path: Path) -> None:
    repo = {"amount_usd": "1.00", "period": "month", "per": "label:repo"}
    subject = await budget_team(database, repo, {**repo, "value": "org/tools"})
    for value in ("org/tools", "org/other"):
        of_repo = Subject(subject.team_id, "k", labels={"repo": value}, budgets=subject.budgets)
        await make_calls(database, tmp_path, of_repo, CENT)
    async with database.begin(reads=True) as connection:
        rows = (await spend_rows(connection, SpendQuery())).data
        own = await own_limits(connection, caller_of(of_repo))
    assert {each.value: each.is_default for each in rows if not each.is_default} == {"org/tools": False}
    (hashed,) = [each.value for each in rows if each.is_default]
    assert hashed.startswith("#")
    assert [each.value for each in own.budgets] == ["org/other"]


async def test_callers_see_their_own_usage_only(database: Database) -> None:
    subject = Subject("t", "k")
    await add_usage(database, DAY, team_id="t", key_id="k")
    await add_usage(database, DAY, team_id="t", key_id="other")
    await add_usage(database, DAY, team_id="t", key_id="", user="ada")
    await add_usage(database, DAY, team_id="t", key_id="", user="bob")
    wanted = UsageQuery.model_validate({**RANGE, "group_by": "key,user"})
    async with database.begin(reads=True) as connection:
        of_key = await own_usage(connection, caller_of(subject), wanted)
        of_person = await own_usage(connection, caller_of(subject, key_id="", person="ada"), wanted)
        of_environment = await own_usage(connection, Caller("tests"), wanted)
    assert [(row.key_id, row.user) for row in of_key.data] == [("k", "")]
    assert [(row.key_id, row.user) for row in of_person.data] == [("", "ada")]
    assert of_environment.data == []
