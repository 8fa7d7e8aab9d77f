"""Sums for people: the largest first, from the table with the fewest rows, and equal to those of the ledger."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from app.admin.api.operations.names import names_of_keys, names_of_teams
from app.admin.api.operations.replicas import count_live_replicas
from app.admin.api.operations.spend_near_end import spend_near_end
from app.admin.api.operations.top_usage import TopUsage, top_usage, usage_over_time
from app.admin.api.operations.usage_columns import COLUMNS
from app.governance.ledger.entry import Entry
from app.governance.ledger.usage_sums import add_to_usage, kinds_of, sums_of
from app.governance.maintenance.derived_usage import derive_usage
from app.storage import repository, tables
from app.storage.database import Database
from app.storage.records import Budget, Key, Team, now

START = datetime(2026, 11, 3, tzinfo=UTC)


def entries() -> list[Entry]:
    drawn = random.Random(7)
    return [
        Entry(
            attempt_id=f"a{number}",
            phase="settle",
            replica_id="r",
            request_id=f"request {number}",
            at=START + timedelta(minutes=drawn.randrange(2 * 24 * 60)),
            team_id=f"t{drawn.randrange(2)}",
            key_id=f"k{drawn.randrange(4)}",
            user=drawn.choice(["", "ann", "bob"]),
            labels={"env": drawn.choice(["dev", "prod"])},
            model_served=f"m{drawn.randrange(3)}",
            input_tokens=drawn.randrange(1000),
            cost_nano=drawn.randrange(10**9),
        )
        for number in range(200)
    ]


async def filled(database: Database) -> list[Entry]:
    made = entries()
    # in several batches, as replicas post them
    async with database.begin() as connection:
        for index in range(0, len(made), 30):
            await add_to_usage(connection, sums_of(kinds_of(made[index : index + 30])))
    return made


MEMBERS = {"team": "team_id", "key": "key_id", "model": "model_served", "user": "user", "label": "labels"}
# when maintenance ran, in hours after START: never, within the second day, several times, and within the seventh day
RUNS = ((), (30,), (25, 26, 47), (47, 150))


FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"team_id": "t0"},
    {"key_id": "k1"},
    {"model": "m2"},
    {"team_id": "t1", "model": "m0"},
    {"model": "m1", "key_id": "k3"},
    {"model": "m1", "user": ""},
    {"user": "ann"},
    {"team_id": "t1", "key_id": "k2", "user": "bob"},
)


@pytest.mark.parametrize("runs", RUNS, ids=str)
async def test_sums_are_those_of_the_ledger(database: Database, runs: tuple[int, ...]) -> None:
    made = await filled(database)
    for hours in runs:
        assert await derive_usage(database, START + timedelta(hours=hours, minutes=5)) > 0
    for group_by in ("", *MEMBERS):
        await check_sums(database, made, group_by)


async def check_sums(database: Database, made: list[Entry], group_by: str) -> None:
    for filters in FILTERS:
        wanted = [
            entry
            for entry in made
            if all(
                getattr(entry, {"model": "model_served"}.get(name, name)) == value for name, value in filters.items()
            )
        ]
        expected: dict[str, int] = {}
        for entry in wanted:
            group = str(getattr(entry, MEMBERS[group_by])) if group_by else ""
            expected[group] = expected.get(group, 0) + (entry.cost_nano or 0)
        for interval in ("hour", "day"):
            async with database.begin(reads=True) as connection:
                rows = await top_usage(connection, TopUsage(START, interval, group_by, filters))
                over_time = await usage_over_time(connection, START, interval, filters)
            found = {(str(getattr(row, COLUMNS[group_by])) if group_by else ""): row.cost_usd for row in rows}
            assert found == expected, (group_by, filters, interval)
            assert list(found.values()) == sorted(found.values(), reverse=True)
            assert sum(row.requests for row in over_time) == len(wanted)
            assert sum(row.cost_usd for row in over_time) == sum(expected.values())


async def test_labels_and_pages(database: Database) -> None:
    await filled(database)
    async with database.begin(reads=True) as connection:
        labels = await top_usage(connection, TopUsage(START, "day", "label"))
        first = await top_usage(connection, TopUsage(START, "day", "key", limit=2))
        rest = await top_usage(connection, TopUsage(START, "day", "key", limit=9, offset=2))
        nothing = await top_usage(connection, TopUsage(START + timedelta(days=9), "day"))
    assert sorted(str(row.labels) for row in labels) == ["{'env': 'dev'}", "{'env': 'prod'}"]
    assert len({row.key_id for row in [*first, *rest]}) == 4
    assert nothing == []


async def test_labels_too_long_for_an_index_are_summed_by_the_first_of_them(database: Database) -> None:
    """Otherwise no entry of the replica could be posted any more."""
    drawn = random.Random(3)
    labels = {f"name{number:02}": "".join(chr(drawn.randrange(48, 123)) for _ in range(250)) for number in range(64)}
    long = [
        Entry(attempt_id=user, phase="settle", replica_id="r", at=START, user=user, labels=labels, cost_nano=1)
        for user in ("", "\U0001f600" * 256)
    ]
    async with database.begin() as connection:
        await add_to_usage(connection, sums_of(kinds_of(long)))
    async with database.begin(reads=True) as connection:
        (row,) = await top_usage(connection, TopUsage(START, "day", "label"))
    assert row.requests == 2
    assert row.labels == {name: labels[name] for name in ("name00", "name01", "name02", "name03")}


async def test_names_budgets_and_replicas(database: Database) -> None:
    team = Team(name="a team")
    key = Key(name="a key", team_id=team.id)
    nearly, far = (
        Budget(scope="key", scope_id=key.id, period="total", amount_nano=100, per=per, per_value="x" * bool(per))
        for per in ("", "user")
    )
    balance = {"kind": "budget", "leased": 10, "refilled_at_ns": 0, "recalled_at_us": 0}
    replica = {"version": "1", "started_at_us": 1, "sequence": 1, "host": "h"}
    async with database.begin() as connection:
        await repository.teams.add(connection, team)
        await repository.keys.add(connection, key)
        for budget, settled in ((nearly, 80), (far, 20)):
            await repository.budgets.add(connection, budget)
            rows = {**balance, "key": f"budget/{budget.id}/total", "source_id": budget.id, "settled": settled}
            await connection.execute(insert(tables.balances).values(rows))
        for state, until in (
            ("live", now() + timedelta(hours=1)),
            ("live", now() - timedelta(hours=1)),
            ("closed", now()),
        ):
            row = {**replica, "id": f"{state}{until}", "state": state, "expires_at_us": int(until.timestamp() * 1e6)}
            await connection.execute(insert(tables.replicas).values(row))
    async with database.begin(reads=True) as connection:
        assert await names_of_teams(connection, {team.id, "gone"}) == {team.id: "a team"}
        assert await names_of_keys(connection, {key.id}) == {key.id: "a key"}
        assert await names_of_keys(connection, set()) == {}
        assert [row.budget_id for row in await spend_near_end(connection, 0.75, 5)] == [nearly.id]
        assert len(await spend_near_end(connection, 0.1, 5)) == 2
        assert await count_live_replicas(connection) == 1
