"""The contract of `ResponseStore`, in memory and in SQLite."""

import asyncio
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.composition.gateway import build_gateway
from app.config.settings import Settings, SettingsError
from app.errors import Overloaded
from app.server.worker_context import WorkerContext
from app.storage import responses_sqlite
from app.storage.responses import MemoryResponses, ResponseStore
from app.storage.responses_sqlite import SqliteResponses


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Maker = Callable[[Clock], ResponseStore]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    if request.param == "memory":
        return lambda clock: MemoryResponses(10, clock=clock)
    return lambda clock: SqliteResponses(tmp_path / "responses.db", 10, clock=clock)


def test_entries_are_visible_to_their_owner_only(make: Maker) -> None:
    async def run() -> None:
        store = make(Clock())
        await store.put("a", "1", {"1": b"one"})
        await store.put("b", "1", {"1": b"another"})
        assert (await store.get("a", "1"), await store.get("b", "1")) == (b"one", b"another")
        assert (await store.get("c", "1"), await store.get("a", "2")) == (None, None)
        await store.put("a", "1", {"1": b"newer"})
        assert await store.get("a", "1") == b"newer"

    asyncio.run(run())


def test_deleted_group_is_gone(make: Maker) -> None:
    async def run() -> None:
        store = make(Clock())
        await store.put("a", "1", {"1": b"one"})
        assert await store.delete("b", "1") is False
        assert await store.delete("a", "1") is True
        assert await store.delete("a", "1") is False
        assert await store.get("a", "1") is None

    asyncio.run(run())


def test_groups_are_stored_and_deleted_as_one(make: Maker) -> None:
    async def run() -> None:
        store = make(Clock())
        await store.put("a", "group", {"1": b"one", "2": b"two"})
        await store.put("a", "other", {"3": b"three"})
        await store.put("a", "group", {"2": b"newer"})
        assert [await store.get("a", key) for key in "123"] == [None, b"newer", b"three"]
        assert await store.delete("a", "2") is False
        assert await store.delete("a", "group") is True
        assert [await store.get("a", key) for key in "123"] == [None, None, b"three"]

    asyncio.run(run())


def test_expired_entries_are_gone(make: Maker) -> None:
    async def run() -> None:
        clock = Clock()
        store = make(clock)
        await store.put("a", "1", {"1": b"one"})
        await store.put("a", "2", {"2": b"two"})
        clock.now += 10
        assert await store.get("a", "1") is None
        assert await store.delete("a", "1") is False
        await store.put("a", "3", {"3": b"three"})
        clock.now -= 5
        assert (await store.get("a", "2"), await store.get("a", "3")) == (None, b"three")

    asyncio.run(run())


def test_full_memory_drops_the_oldest_group_of_the_largest_owner() -> None:
    async def run() -> None:
        store = MemoryResponses(10, max_bytes=80, clock=Clock())
        await store.put("small", "1", {"1": b"x"})
        for index in range(8):
            assert await store.put("large", f"{index}", {f"{index}": b"0123456789"})
        assert await store.get("large", "0") is None
        assert await store.get("large", "1") == b"0123456789"
        assert await store.get("small", "1") == b"x"
        assert await store.put("small", "2", {"2": b"more than an eighth"}) is False
        assert await store.get("small", "2") is None
        for owner in "abcdefgh":
            assert await store.put(owner, "1", {"1": b"012345678"})
        assert await store.put("newcomer", "1", {"1": b"0123456789"})
        assert await store.get("newcomer", "1") == b"0123456789"
        store.close()
        assert await store.get("newcomer", "1") is None

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_group_with_a_reserve_stays_until_it_is_replaced(kind: str, tmp_path: Path) -> None:
    size = 8_000_000 if kind == "memory" else 31_000

    async def run() -> None:
        clock = Clock()
        store: ResponseStore = (
            MemoryResponses(1000, clock=clock)
            if kind == "memory"
            else SqliteResponses(tmp_path / "responses.db", 1000, max_bytes=1_000_000, clock=clock)
        )
        assert await store.put("a", "runs", {"run": bytes(size)}, reserve=1000 + size) is False
        assert await store.put("a", "runs", {"run": bytes(size - 1000)}, reserve=1000)
        for index in range(50):
            clock.now += 1
            assert await store.put("a", f"{index}", {f"{index}": bytes(size)})
        assert (await store.get("a", "run"), await store.get("a", "0")) == (bytes(size - 1000), None)
        assert await store.put("a", "runs", {"run": bytes(size * 2)}) is False
        assert await store.get("a", "run") == bytes(size - 1000)
        assert await store.put("a", "runs", {"run": bytes(size)})
        for index in range(50):
            clock.now += 1
            assert await store.put("a", f"{index}", {f"{index}": bytes(size)})
        assert await store.get("a", "run") is None
        # reserves never keep others out
        for index in range(50):
            assert await store.put("b", f"{index}", {f"{index}": bytes(size - 1000)}, reserve=1000)
        assert await store.put("a", "last", {"last": bytes(size)})
        store.close()

    asyncio.run(run())


def test_full_file_drops_the_oldest_group_of_the_largest_owner(tmp_path: Path) -> None:
    path, clock = tmp_path / "responses.db", Clock()

    async def run() -> None:
        stores = [SqliteResponses(path, 1000, max_bytes=1_000_000, clock=clock) for _ in range(2)]
        one, other = stores
        await one.put("small", "1", {"1": b"x"})
        for index in range(100):
            clock.now += 1
            assert await stores[index % 2].put("large", f"{index}", {f"{index}": bytes(30_000)})
        kept = [index for index in range(100) if await one.get("large", f"{index}")]
        assert kept == list(range(100 - len(kept), 100))
        assert 25 < len(kept) < 34
        assert await other.get("small", "1") == b"x"
        assert await one.put("small", "2", {"2": bytes(40_000)}) is False
        assert await one.get("small", "2") is None
        for store in stores:
            store.close()

    asyncio.run(run())
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_100_000


def test_file_of_an_older_version_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "create table responses (owner text not null, key text not null, grouped text not null,"
            " until real not null, entry blob not null, primary key (owner, key))"
        )
        rows = [("large", f"{index}", f"{index}", 1000 + index, bytes(30_000)) for index in range(50)]
        connection.executemany("insert into responses values (?, ?, ?, ?, ?)", rows)

    async def run() -> None:
        store = SqliteResponses(path, 1000, timeout=10, max_bytes=1_000_000, clock=Clock())
        assert await store.get("large", "0") == bytes(30_000)
        assert await store.put("small", "1", {"1": bytes(20_000)})
        assert (await store.get("large", "0"), await store.get("large", "49")) == (None, bytes(30_000))
        # as that version writes, while both versions run
        with closing(sqlite3.connect(path)) as connection, connection:
            row = ("large", "49", "another", 2000, bytes(10))
            connection.execute("insert or replace into responses values (?, ?, ?, ?, ?)", row)
        store.close()

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as connection:
        counted = connection.execute("select owner, bytes from held order by owner").fetchall()
        there = "select owner, sum(length(entry)) from responses group by owner order by owner"
        assert counted == connection.execute(there).fetchall()


def test_queries_use_indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "responses.db"
    statements: list[str] = []

    class Told(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            statements.append(sql)
            return super().execute(sql, *parameters)

    async def run() -> None:
        store = SqliteResponses(path, 10, max_bytes=200_000)
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Told))
            for index in range(50):
                await store.put("a", f"{index}", {f"{index}": bytes(6000)})
            await store.get("a", "1")
            await store.delete("a", "1")
        store.close()

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as connection:
        explained = {sql: f"explain query plan {sql}" for sql in statements if "from responses" in sql}
        plans = [connection.execute(plan, [None] * sql.count("?")).fetchall() for sql, plan in explained.items()]
    searches = re.findall(r"(SCAN|SEARCH) responses (?:USING (?:COVERING )?INDEX )?(.*?)'", repr(plans))
    assert sorted(searches) == [
        ("SEARCH", "responses_by_age (owner=?)"),
        ("SEARCH", "responses_by_end (until<?)"),
        ("SEARCH", "responses_by_group (owner=? AND grouped=? AND until>?)"),
        ("SEARCH", "responses_by_group (owner=? AND grouped=?)"),
        ("SEARCH", "responses_by_group (owner=? AND grouped=?)"),
        ("SEARCH", "sqlite_autoindex_responses_1 (owner=? AND key=?)"),
    ]


def test_expired_entries_are_dropped_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock, ticks = tmp_path / "responses.db", Clock(), count()

    def left() -> int:
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("select count(*) from responses").fetchone()[0])

    async def run() -> None:
        store = SqliteResponses(path, 10, timeout=5, clock=clock)
        for index in range(20):
            await store.put("a", f"{index}", {f"{index}": b"x"})
        clock.now += 10
        monkeypatch.setattr(responses_sqlite, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
        assert await store.put("a", "new", {"new": b"new"})
        assert 11 < left() < 20
        for index in range(4):
            assert await store.put("a", f"new {index}", {f"new {index}": b"new"})
        assert left() == 5
        store.close()

    asyncio.run(run())


def test_deleted_file_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "responses.db"
    path.parent.mkdir()

    async def run() -> None:
        store = SqliteResponses(path, 10)
        await store.put("a", "1", {"1": b"one"})
        shutil.rmtree(path.parent)
        with pytest.raises(Overloaded):
            await store.get("a", "1")
        path.parent.mkdir()
        assert await store.get("a", "1") is None
        await store.put("a", "2", {"2": b"two"})
        assert await store.get("a", "2") == b"two"
        store.close()

    asyncio.run(run())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_locked_file_is_overloaded_after_the_timeout(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def run() -> float:
        store = SqliteResponses(path, 10, timeout=0.2)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("begin exclusive")
            begin = time.monotonic()
            puts = (store.put("a", f"{index}", {f"{index}": b"x"}) for index in range(30))
            outcomes = await asyncio.gather(*puts, return_exceptions=True)
            took = time.monotonic() - begin
        assert {type(outcome) for outcome in outcomes} == {Overloaded}
        assert await store.put("a", "later", {"later": b"x"})
        store.close()
        return took

    assert asyncio.run(run()) < 4


def test_file_is_shared_persistent_and_private(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"

    async def run() -> None:
        one, other = SqliteResponses(path, 10, timeout=10), SqliteResponses(path, 10, timeout=10)
        await asyncio.gather(
            *(store.put("a", f"{index}", {f"{index}": b"x"}) for index in range(20) for store in (one, other))
        )
        assert [await other.get("a", f"{index}") for index in range(20)] == [b"x"] * 20
        assert await SqliteResponses(path, 10, timeout=10).get("a", "7") == b"x"

    asyncio.run(run())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_timed_out_put_is_not_done_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        store = SqliteResponses(tmp_path / "responses.db", 10, timeout=0.1)
        put = store._put

        def slow(*arguments: Any) -> bool:
            done = put(*arguments)
            time.sleep(0.2)
            return done

        monkeypatch.setattr(store, "_put", slow)
        with pytest.raises(Overloaded):
            await store.put("a", "1", {"1": b"one"})
        await asyncio.sleep(0.3)
        assert await store.get("a", "1") is None
        store.close()

    asyncio.run(run())


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database, and long enough to be told from an empty one" * 100)
    with pytest.raises(OSError, match="not a database"):
        SqliteResponses(path, 10)
    lasting = Settings(
        aws_region="us-east-1", bedrock_model_id="m", auth_disabled=True, responses_store=f"sqlite:///{path}"
    )
    with pytest.raises(SettingsError, match=r"RESPONSES_STORE.*not a database"):
        build_gateway(lasting, WorkerContext())


async def test_entry_of_an_equal_key_belongs_to_the_later_group(tmp_path: Path) -> None:
    for store in (MemoryResponses(60), SqliteResponses(tmp_path / "kept.db", 60)):
        await store.put("ada", "one", {"item/msg_0": b"1", "response/one": b"1"})
        await store.put("ada", "two", {"item/msg_0": b"2", "response/two": b"2"})
        assert await store.delete("ada", "one")
        assert await store.get("ada", "item/msg_0") == b"2"
        assert await store.delete("ada", "two")
        assert await store.get("ada", "item/msg_0") is None
        assert await store.get("ada", "response/two") is None
        store.close()
