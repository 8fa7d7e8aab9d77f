"""Transactions and failures of the database, of both kinds."""

import asyncio
import contextlib
import gc
import os
import socket
import sqlite3
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import insert, select, text

from app.config.database_url import parse_database_url
from app.storage import tables
from app.storage.database import Database, DatabaseDown
from app.storage.records import Team, new_id
from app.storage.repository import teams
from app.storage.schema import prepare_schema, schema_revision
from app.storage.schema_mismatch import SchemaMismatch
from tests.databases import PostgresServer, opened, running_postgres


async def test_an_error_rolls_back(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)

    async def fail() -> None:
        async with empty_database.begin() as connection:
            await teams.add(connection, Team(name="lost"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with empty_database.begin() as connection:
        assert await teams.find(connection) == []


async def test_times_keep_their_moment(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)
    moment = datetime(2026, 11, 30, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=5)))
    async with empty_database.begin() as connection:
        await teams.add(connection, Team(name="far", created_at=moment))
        (found,) = await teams.find(connection)
        later = await connection.execute(select(tables.teams.c.id).where(tables.teams.c.created_at > moment))
        assert later.all() == []
    assert found.created_at == moment
    assert found.created_at.utcoffset() == timedelta(0)
    with pytest.raises(Exception, match="needs a time zone"):
        async with empty_database.begin() as connection:
            await teams.add(connection, Team(name="near", created_at=datetime(2026, 1, 1)))


async def test_writers_wait_for_each_other(empty_database: Database) -> None:
    await _write_at_once(empty_database)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_writers_wait_for_each_other_whatever_the_default_of_the_database(
    postgres: PostgresServer, isolation: str
) -> None:
    async with opened(await _created_with(postgres, f"default_transaction_isolation = '{isolation}'")) as database:
        await _write_at_once(database)


async def _created_with(postgres: PostgresServer, default: str) -> str:
    """Create a database with a default of its own, and return its URL."""
    url = await postgres.create()
    connection = await asyncpg.connect(url)
    name = urlsplit(url).path.removeprefix("/")
    await connection.execute(f'alter database "{name}" set {default}')
    await connection.close()
    return url


async def _write_at_once(empty_database: Database) -> None:
    async with empty_database.begin() as connection:
        await connection.execute(text("create table numbers (n integer)"))
        await connection.execute(text("insert into numbers values (0)"))
    lock = "" if empty_database.is_sqlite else " for update"

    async def add() -> None:
        async with empty_database.begin() as connection:
            number = (await connection.execute(text(f"select n from numbers{lock}"))).scalar_one()
            await asyncio.sleep(0.01)
            await connection.execute(text("update numbers set n = :n"), {"n": number + 1})

    await asyncio.gather(*[add() for _ in range(10)])
    async with empty_database.begin() as connection:
        assert (await connection.execute(text("select n from numbers"))).scalar_one() == 10


def test_only_its_user_may_read_the_file_of_sqlite(tmp_path: Path) -> None:
    Database(parse_database_url(f"sqlite:///{tmp_path / 'o.db'}"))
    assert os.stat(tmp_path / "o.db").st_mode & 0o077 == 0  # noqa: PTH116


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:s3cret@127.0.0.1:9/db", "Connection refused|ConnectionRefused"),
        ("postgresql://u:s3cret@/db?host=/nowhere", "No such file|FileNotFound"),
        ("postgresql://u:s3cret@127.0.0.1:9/db?sslmode=strict", "cannot be used: `sslmode` parameter must be one of"),
        (
            "postgresql://u:s3cret@127.0.0.1:9/db?sslmode=verify-full",
            "cannot be used: root certificate file .* does not",
        ),
    ],
)
async def test_a_database_that_is_down_is_named_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with opened(url) as database:
        with pytest.raises(DatabaseDown, match=reason) as caught:
            await prepare_schema(database, migrate=False)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_host_that_has_no_address_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncpg, "connect", connect)
    async with opened("postgresql://u@db.invalid/outcrop") as database:
        with pytest.raises(DatabaseDown, match=r"db\.invalid/outcrop cannot be used: Name or service not known"):
            await database.check_version()


async def test_a_transaction_that_gets_no_connection_finds_the_database_down(postgres: PostgresServer) -> None:
    async with opened(await postgres.create()) as database, contextlib.AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(database.begin())
        with pytest.raises(DatabaseDown, match="no connection was free for 2 seconds"):
            await database.check_version()


async def test_a_wrong_name_of_the_database_is_named(postgres: PostgresServer) -> None:
    async with opened(postgres.url("nothing")) as database:
        with pytest.raises(DatabaseDown, match='database "nothing" does not exist'):
            await prepare_schema(database, migrate=False)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    path.write_bytes(b"a text of another program " * 100)
    async with opened(f"sqlite:///{path}") as database:
        with pytest.raises(DatabaseDown, match=r"o\.db cannot be used: file is not a database"):
            await prepare_schema(database, migrate=False)


async def test_a_file_that_is_damaged_while_it_is_open_is_down(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with opened(f"sqlite:///{path}") as database:
        await prepare_schema(database, migrate=False)
        async with database.begin() as connection:
            await connection.execute(text("create table more (n integer)"))
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("pragma wal_checkpoint(truncate)")
        pages = path.read_bytes()
        path.write_bytes(pages[:4096] + b"x" * (len(pages) - 4096))
        for reads in True, False:
            with pytest.raises(DatabaseDown, match=r"o\.db cannot be used: database disk image is malformed"):
                async with database.begin(reads=reads) as connection:
                    await teams.find(connection)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_holds_not_every_text_is_refused(postgres: PostgresServer, encoding: str) -> None:
    name = f"test_{new_id()}"
    connection = await asyncpg.connect(postgres.url())
    await connection.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    await connection.close()
    async with opened(postgres.url(name)) as database:
        with pytest.raises(DatabaseDown, match=f"has the encoding {encoding}: create a database with ENCODING 'UTF8'"):
            await prepare_schema(database, migrate=True)


async def test_a_user_without_rights_is_told_what_it_may_not_do(postgres: PostgresServer) -> None:
    url, role = await postgres.create(), f"role_{new_id()}"
    connection = await asyncpg.connect(url)
    await connection.execute(f"create role {role} login password 's3cret'; revoke create on schema public from public")
    of_role = url.replace("//postgres@", f"//{role}:s3cret@")
    async with opened(of_role) as database:
        with pytest.raises(DatabaseDown, match="cannot be used: permission denied for schema public"):
            await prepare_schema(database, migrate=False)
        with pytest.raises(SchemaMismatch, match=r"its user may not set it up: .*grant create on schema public"):
            await schema_revision(database)
        await connection.execute(f"grant create on schema public to {role}")
        assert await schema_revision(database) == ""
        assert await prepare_schema(database, migrate=False) == "created"
        await connection.execute(f"alter table teams owner to postgres; revoke all on teams from {role}")
        with pytest.raises(DatabaseDown, match="permission denied for table teams"):
            async with database.begin() as transaction:
                await teams.find(transaction)
    await connection.close()


async def test_a_search_path_that_leads_nowhere_is_named(postgres: PostgresServer) -> None:
    async with opened(await _created_with(postgres, "search_path = nowhere")) as database:
        with pytest.raises(DatabaseDown, match="cannot be used: no schema has been selected to create in"):
            await prepare_schema(database, migrate=False)
        with pytest.raises(SchemaMismatch, match="has none of the schemas that search_path names"):
            await schema_revision(database)


@pytest.mark.loopback
async def test_a_server_that_does_not_answer_costs_two_seconds() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = time.monotonic()
    async with opened(f"postgresql://u@127.0.0.1:{port}/db") as database:
        with pytest.raises(DatabaseDown, match="did not answer within 2 seconds"):
            await prepare_schema(database, migrate=False)
    assert time.monotonic() - started < 20
    server.close()
    await server.wait_closed()


@pytest.mark.slow
async def test_a_server_that_is_restarted_is_used_again() -> None:
    with running_postgres() as server:
        async with opened(await server.create()) as database:
            await prepare_schema(database, migrate=False)
            server.stop()
            with pytest.raises(DatabaseDown, match=r"cannot be used: (?!Error$)"):
                async with database.begin() as connection:
                    await teams.find(connection)
            server.start()
            async with database.begin() as connection:
                assert await teams.find(connection) == []


async def test_a_database_that_is_closed_for_connections_is_down(postgres: PostgresServer) -> None:
    async with opened(await postgres.create()) as database, opened(postgres.url()) as other:
        async with database.begin() as connection:
            name = (await connection.execute(text("select current_database()"))).scalar_one()
        for is_open in (False, True):
            async with other.begin() as connection:
                await connection.execute(text(f'alter database "{name}" with allow_connections {is_open}'))
                ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = :name"
                await connection.execute(text(ended), {"name": name})
            with contextlib.nullcontext() if is_open else pytest.raises(DatabaseDown, match="not currently accepting"):
                await _until_closed(database)
                async with database.begin():
                    pass


async def _until_closed(database: Database) -> None:
    """Wait until the pool has noticed that the server has closed its connection."""
    await asyncio.sleep(0.2)
    with contextlib.suppress(DatabaseDown):
        async with database.begin():
            pass


async def test_a_server_that_only_reads_is_down_and_is_used_again_once_it_writes(postgres: PostgresServer) -> None:
    """After a failover, an address may lead to the former writer for a while."""
    url = await postgres.create()
    name = urlsplit(url).path.removeprefix("/")

    async def run(*statements: str) -> None:
        connection = await asyncpg.connect(postgres.url())
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async with opened(url) as database:
        await prepare_schema(database, migrate=False)
        await run(
            f'alter database "{name}" set default_transaction_read_only = on',
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
        )
        for _ in range(2):
            with pytest.raises(DatabaseDown):
                async with database.begin() as connection:
                    await teams.add(connection, Team(name="lost"))
            async with database.begin(reads=True) as connection:
                assert await teams.find(connection) == []
        await run(f'alter database "{name}" reset default_transaction_read_only')
        # the connection that read last is of then
        for number in range(2):
            with contextlib.suppress(DatabaseDown):
                async with database.begin() as connection:
                    await teams.add(connection, Team(name=f"kept {number}"))
        async with database.begin() as connection:
            assert [team.name for team in await teams.find(connection)] == ["kept 1"]


@pytest.mark.parametrize("pragma", ["query_only = on", "max_page_count = 1"])
async def test_a_file_of_sqlite_that_cannot_be_written_is_down(pragma: str, tmp_path: Path) -> None:
    async def fill(database: Database) -> None:
        async with database.begin() as connection:
            await connection.exec_driver_sql(f"pragma {pragma}")
            await teams.add(connection, *[Team(name=f"{number}" * 100) for number in range(1000)])

    async with opened(f"sqlite:///{tmp_path}/outcrop.db") as database:
        await prepare_schema(database, migrate=False)
        with pytest.raises(DatabaseDown):
            await fill(database)


async def test_notifications_arrive(postgres: PostgresServer) -> None:
    async with opened(await postgres.create()) as database:
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with database.listening("recall", heard.put_nowait):
            async with database.begin() as connection:
                await connection.execute(text("select pg_notify('recall', 'budget/1')"))
            assert await asyncio.wait_for(heard.get(), 30) == "budget/1"


async def test_whoever_stops_waiting_for_sqlite_leaves_no_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: noted.append(unraisable.exc_value))

    async def use(database: Database) -> None:
        async with database.begin():
            await asyncio.Event().wait()

    for number in range(40):
        async with opened(f"sqlite:///{tmp_path}/outcrop.db") as database:
            user = asyncio.create_task(use(database))
            # in some of the rounds this is while the connection is opened
            await asyncio.sleep(number * 50e-6)
            user.cancel()
            await asyncio.wait([user])
    gc.collect()
    assert not noted


async def test_a_cancelled_task_keeps_no_lock_of_sqlite(tmp_path: Path) -> None:
    """It is cancelled while a statement runs, so that nobody fetches the rows."""
    url, loop = f"sqlite:///{tmp_path}/outcrop.db", asyncio.get_running_loop()

    async def use(database: Database) -> None:
        async with database.begin() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.create_function("leave", 0, lambda: loop.call_soon_threadsafe(user.cancel) and 1)
            await connection.execute(text("update numbers set n = leave() returning n"))

    async with opened(url) as database, opened(url) as another:
        async with another.begin() as connection:
            await connection.execute(text("create table numbers as select 0 as n"))
        user = asyncio.create_task(use(database))
        # the error keeps the cursor
        with pytest.raises(asyncio.CancelledError) as left:
            await user
        async with another.begin() as connection:
            assert (await connection.execute(text("select n from numbers"))).scalar_one() == 0
        assert left.value is not None


async def test_a_cancelled_task_waits_no_longer_for_a_lock_of_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/outcrop.db"

    async def use(database: Database) -> None:
        async with database.begin():
            pass

    async with opened(url) as database, opened(url) as another:
        # the connection is open
        await use(database)
        async with another.begin():
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await use(database)
            # SQLite would wait for 5 seconds
            assert time.monotonic() - started < 3
        await use(database)


async def test_documents_are_stored_as_json(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)
    row = {"id": new_id(), "at": datetime.now(UTC), "actor": "a", "address": "", "request_id": "", "action": "team.create",
           "object_id": "1", "before": None, "after": {"name": "ü", "n": [1, None]}}  # fmt: skip
    async with empty_database.begin() as connection:
        await connection.execute(insert(tables.audit).values(row))
        stored = (await connection.execute(select(tables.audit))).one()
    assert stored._mapping == row


@pytest.mark.loopback
async def test_a_server_without_tls_is_named_as_such() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"postgresql://outcrop:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}/outcrop"
        database = Database(parse_database_url(url), tls=ssl.create_default_context())
        with pytest.raises(DatabaseDown, match="outcrop cannot be used over TLS: the server does not offer it") as down:
            async with database.begin():
                pass
        assert "s3cret" not in str(down.value)
        await database.close()
