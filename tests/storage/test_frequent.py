"""Statements that the driver runs itself: in the transaction, and with the errors of all others."""

from typing import Any

import pytest
from sqlalchemy import BigInteger, bindparam, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from app.storage import tables
from app.storage.database import Database, DatabaseDown
from app.storage.frequent import Frequent
from app.storage.statements import insert_of
from tests.databases import PostgresServer, opened

BALANCES = tables.balances
COLUMNS = ("key", "kind", "source_id", "settled", "leased", "refilled_at_ns", "recalled_at_us")


def build_addition(dialect: str) -> Any:
    insert = insert_of(dialect, BALANCES)
    added = BALANCES.c.settled + insert.excluded.settled
    return insert.on_conflict_do_update(index_elements=["key"], set_={"settled": added})


def build_search(_: str) -> Any:
    columns = BALANCES.c.key, (BALANCES.c.settled + bindparam("more", type_=BigInteger)).label("sum")
    return select(*columns).where(BALANCES.c.kind == "budget", BALANCES.c.settled >= bindparam("least"))


def row(key: str, settled: int) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS, 0), "key": key, "kind": "budget", "source_id": "s", "settled": settled}


@pytest.mark.parametrize("begins", [True, False])
async def test_rows_are_added_and_found(database: Database, begins: bool) -> None:
    addition, search = Frequent(build_addition, COLUMNS), Frequent(build_search)
    for _ in range(2):
        async with database.begin() as connection:
            if begins:
                await connection.execute(text("select 1"))
            await addition.run(connection, [row("a", 5), row("b", 2)])
    async with database.begin() as connection:
        found = await search.rows(connection, {"least": 10, "more": 7})
        assert [(each["key"], each["sum"]) for each in found] == [("a", 17)]
        assert len(await search.rows(connection, {"least": 0, "more": 0})) == 2
        assert len((await connection.execute(select(BALANCES))).all()) == 2


@pytest.mark.parametrize("begins", [True, False])
async def test_an_error_rolls_back_what_was_run(database: Database, begins: bool) -> None:
    addition = Frequent(build_addition, COLUMNS)

    async def fail() -> None:
        async with database.begin() as connection:
            if begins:
                await connection.execute(text("select 1"))
            await addition.run(connection, [row("a", 5)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.begin() as connection:
        assert (await connection.execute(select(BALANCES))).all() == []


async def test_what_the_database_refuses_is_an_error_of_its_own(database: Database) -> None:
    addition = Frequent(build_addition, COLUMNS)
    with pytest.raises(DBAPIError) as caught:
        async with database.begin() as connection:
            await addition.run(connection, [{**row("a", 5), "kind": None}])
    assert not isinstance(caught.value, ProgrammingError)
    async with database.begin() as connection:
        await addition.run(connection, [row("a", 5)])


ONE, MISSING = Frequent(lambda _: text("select 1 as one")), Frequent(lambda _: text("select n from nothing"))
_END_OTHERS = text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


async def search_in_another_schema(database: Database, *, begins: bool) -> None:
    async with database.begin() as connection:
        if begins:
            await ONE.rows(connection, {})
        await MISSING.rows(connection, {})


async def search_after_the_connection_is_lost(database: Database, *, begins: bool) -> None:
    async with database.begin() as connection:
        if begins:
            (found,) = await ONE.rows(connection, {})
            assert found["one"] == 1
        async with database.begin() as another:
            await another.execute(_END_OTHERS)
        await ONE.rows(connection, {})


@pytest.mark.parametrize("begins", [True, False])
async def test_another_schema_and_a_lost_connection_are_told_apart(postgres: PostgresServer, begins: bool) -> None:
    async with opened(await postgres.create()) as database:
        with pytest.raises(ProgrammingError, match="nothing"):
            await search_in_another_schema(database, begins=begins)
        with pytest.raises(DatabaseDown):
            await search_after_the_connection_is_lost(database, begins=begins)
        async with database.begin() as connection:
            assert len(await ONE.rows(connection, {})) == 1
