"""Teams, keys, limits and budgets in the database, of both kinds."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget, Key, KeySecret, Limit, Team, new_id
from app.storage.repository import (
    Conflict,
    budgets,
    key_secrets,
    keys,
    limits,
    replace_budgets,
    replace_limits,
    teams,
)


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert sorted(ids, key=lambda each: each[:10]) == ids
    assert all(len(each) == 26 and each.isalnum() and each.islower() for each in ids)


async def test_what_is_stored_is_read(database: Database) -> None:
    team = Team(name="research", models=["*claude*"], labels={"centre": "42"}, default_max_tokens=1024)
    key = Key(name="ci", team_id=team.id, person="ada", expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    secret = KeySecret(key_id=key.id, hash=b"\x00\xff" * 16)
    async with database.begin() as connection:
        await teams.add(connection, team)
        await keys.add(connection, key)
        await key_secrets.add(connection, secret)
    async with database.begin() as connection:
        assert await teams.get(connection, team.id) == team
        assert await keys.get(connection, key.id, lock=True) == key
        assert await key_secrets.find(connection, tables.key_secrets.c.hash == secret.hash) == [secret]
        assert await keys.get(connection, "nothing") is None


async def test_names_of_teams_are_unique_and_teams_with_keys_stay(database: Database) -> None:
    team = Team(name="one")
    async with database.begin() as connection:
        await teams.add(connection, team)
        await keys.add(connection, Key(name="k", team_id=team.id))
    with pytest.raises(Conflict):
        async with database.begin() as connection:
            await teams.add(connection, Team(name="one"))
    with pytest.raises(Conflict):
        async with database.begin() as connection:
            await teams.remove(connection, team.id)
    with pytest.raises(Conflict):
        async with database.begin() as connection:
            await keys.add(connection, Key(name="k", team_id="nobody"))


async def test_lists_are_read_in_pages(database: Database) -> None:
    async with database.begin() as connection:
        for number in range(5):
            await teams.add(connection, Team(id=f"{number}", name=f"t{number}"))
        first = await teams.find(connection, limit=2)
        rest = await teams.find(connection, after=first[-1].id)
    assert [team.name for team in (*first, *rest)] == ["t0", "t1", "t2", "t3", "t4"]


async def test_of_two_changes_of_one_revision_the_second_is_refused(database: Database) -> None:
    team = Team(name="one")
    async with database.begin() as connection:
        await teams.add(connection, team)

    async def rename(name: str) -> Team | None:
        async with database.begin() as connection:
            return await teams.change(connection, team, name=name)

    done = [each for each in await asyncio.gather(rename("a"), rename("b")) if each is not None]
    assert len(done) == 1
    assert done[0].revision == 2
    async with database.begin() as connection:
        assert await teams.get(connection, team.id) == done[0]


async def test_a_limit_keeps_its_row_when_its_capacity_changes(database: Database) -> None:
    team = Team(name="one")
    first = Limit(scope="team", scope_id=team.id, kind="requests_per_minute", capacity=10)
    other = Limit(scope="team", scope_id=team.id, kind="tokens_per_minute", capacity=1000)
    more = Limit(scope="team", scope_id=team.id, kind="requests_per_minute", capacity=20, shadow=True)
    async with database.begin() as connection:
        await teams.add(connection, team)
        assert await replace_limits(connection, team, [first, other]) == [first, other]
        (stored,) = await replace_limits(connection, team, [more])
        assert (stored.id, stored.capacity, stored.shadow) == (first.id, 20, True)
        assert await limits.find(connection) == [stored]
        with pytest.raises(Conflict):
            await replace_limits(connection, team, [first, more])


@contextlib.contextmanager
def statements_of(connection: AsyncConnection) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement.split(maxsplit=1)[0])

    event.listen(connection.sync_connection, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(connection.sync_connection, "before_cursor_execute", note)


async def test_the_statements_for_many_budgets_are_few(database: Database) -> None:
    team = Team(name="one")

    def of_users(first: int, amount: int) -> list[Budget]:
        users = [f"u{number}" for number in range(first, first + 400)]
        return [
            Budget(scope="team", scope_id=team.id, per="user", per_value=each, period="day", amount_nano=amount)
            for each in users
        ]

    async with database.begin() as connection:
        await teams.add(connection, team)
        with statements_of(connection) as made:
            await replace_budgets(connection, team, of_users(0, 1))
        assert made == ["SELECT", "INSERT"]
        with statements_of(connection) as made:
            stored = await replace_budgets(connection, team, of_users(200, 2))
        assert made == ["SELECT", "DELETE", "INSERT", "UPDATE"]
        found = await budgets.find(connection)
        assert {each.id: each for each in found} == {each.id: each for each in stored}
        assert {each.amount_nano for each in found} == {2}


async def test_a_budget_keeps_its_row_when_its_amount_changes(database: Database) -> None:
    key = Key(name="k", team_id="t")
    other = Key(name="o", team_id="t")
    monthly = Budget(scope="key", scope_id=key.id, period="month", amount_nano=25 * 10**9)
    foreign = Budget(scope="key", scope_id=other.id, period="month", amount_nano=1)
    async with database.begin() as connection:
        await replace_budgets(connection, key, [monthly])
        await replace_budgets(connection, other, [foreign])
        raised = Budget(scope="key", scope_id=key.id, period="month", amount_nano=50 * 10**9)
        (stored,) = await replace_budgets(connection, key, [raised])
        assert (stored.id, stored.amount_nano, stored.created_at) == (monthly.id, 50 * 10**9, monthly.created_at)
        assert await replace_budgets(connection, key, []) == []
        assert await budgets.find(connection) == [foreign]
        with pytest.raises(Conflict):
            await replace_budgets(connection, key, [foreign])
