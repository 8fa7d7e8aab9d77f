"""The schema: it is set up once, checked, and migrated, on both kinds of databases."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from app.storage import tables
from app.storage.database import Database
from app.storage.migrating import scripts_of_this_version
from app.storage.schema import latest_revision, prepare_schema
from app.storage.schema_mismatch import SchemaMismatch
from tests.databases import opened

HEAD = latest_revision()


async def set_revision(database: Database, revision: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text("update alembic_version set version_num = :revision"), {"revision": revision})


async def test_an_empty_database_is_set_up_as_the_tables_say(empty_database: Database) -> None:
    assert await prepare_schema(empty_database, migrate=False) == "created"
    assert await prepare_schema(empty_database, migrate=False) == ""

    def differences(connection: Connection) -> list[object]:
        # a partition belongs to its table
        partitions = {"usage_totals_hour", "usage_totals_day", "derived_usage_day", "derived_usage_recent"}
        options = {"include_name": lambda name, *_: name not in partitions}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata))

    async with empty_database.begin() as connection:
        assert await connection.run_sync(differences) == []


async def test_of_several_replicas_that_start_together_one_sets_up(database_url: str) -> None:
    async def start() -> str:
        async with opened(database_url) as database:
            return await prepare_schema(database, migrate=False)

    done = await asyncio.gather(*[start() for _ in range(6)])
    assert sorted(done) == ["", "", "", "", "", "created"]


async def test_processes_that_open_a_new_file_at_once_do_not_lock_each_other_out(tmp_path: Path) -> None:
    async def start(file: Path) -> None:
        async with opened(f"sqlite:///{file}") as database:
            await database.check_version()

    for number in range(40):
        await asyncio.gather(*[start(tmp_path / f"{number}.db") for _ in range(8)])


async def test_whoever_starts_waits_for_another_process_that_migrates_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.sqlite_engine._BUSY_SECONDS", 0.1)
    file = tmp_path / "outcrop.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("pragma journal_mode = wal")
    other.execute("begin immediate")
    async with opened(f"sqlite:///{file}") as database:
        waiting = asyncio.create_task(prepare_schema(database, migrate=False))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        other.execute("commit")
        assert await waiting == "created"
    other.close()


async def test_an_older_schema_ends_the_start_with_what_to_do(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)
    await set_revision(empty_database, "0000")
    with pytest.raises(SchemaMismatch, match=f"has revision 0000, and this version needs {HEAD}: .*MIGRATE_AT_START"):
        await prepare_schema(empty_database, migrate=False)


async def test_a_schema_that_is_one_revision_newer_is_used(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)
    await set_revision(empty_database, f"{int(HEAD) + 1:04}")
    assert await prepare_schema(empty_database, migrate=True) == ""
    await set_revision(empty_database, f"{int(HEAD) + 2:04}")
    with pytest.raises(SchemaMismatch, match="run a newer version"):
        await prepare_schema(empty_database, migrate=True)


async def test_tables_of_another_program_are_not_touched(empty_database: Database) -> None:
    async with empty_database.begin() as connection:
        await connection.execute(text("create table teams (id integer)"))
    with pytest.raises(SchemaMismatch, match="tables of another program"):
        await prepare_schema(empty_database, migrate=True)


async def test_the_schema_of_another_program_that_uses_alembic_is_not_touched(empty_database: Database) -> None:
    await prepare_schema(empty_database, migrate=False)
    await set_revision(empty_database, "1975ea83b712")
    with pytest.raises(SchemaMismatch, match="tables of another program"):
        await prepare_schema(empty_database, migrate=True)


def test_revisions_are_numbers_in_a_row() -> None:
    revisions = [script.revision for script in scripts_of_this_version().walk_revisions()]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]
