"""Gateways whose database, disk, clock or prices fail: what callers get, how soon, and what is recorded in the end."""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, text

from app.storage import tables
from app.storage.database import Database
from tests.databases import PostgresServer, opened, running_postgres
from tests.governed import (
    COST,
    MODEL,
    NANO,
    PEPPER,
    SLOWER,
    Replica,
    Reply,
    add_key,
    ask,
    ask_all,
    balance_of,
    emulator,
    ledger_of,
    money,
    replicas,
    until_posted,
)
from tests.programs import ROOT, aws, environment

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.timeout(120)]

UNPRICED = f"{MODEL}.slow-1"
OF_ENVIRONMENT = "secret-of-a-developer"
# the gateway's own bound is two seconds, and the machine of the tests is busy
SECONDS = 15


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        yield started


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with emulator() as url:
        yield url


@pytest.fixture
async def url(server: PostgresServer) -> str:
    return await server.create_with_schema()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as found:
        yield found


async def eventually(replica: Replica, secret: str, status: int, before: list[Reply] | None = None) -> Reply:
    """Ask until the answer has a status. before: gets the answers with 200 until then."""
    deadline = time.monotonic() + 30
    while (reply := await ask(replica.url, secret)).status != status:
        assert time.monotonic() < deadline, reply
        if before is not None and reply.status == 200:
            before.append(reply)
        await asyncio.sleep(0.05)
    return reply


async def got(url: str, headers: Mapping[str, str] = {}) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20, headers=headers) as client:
        return await client.get(url)


async def test_without_the_database_known_calls_go_on_and_none_waits(upstream: str) -> None:
    with running_postgres() as server:
        url = await server.create_with_schema()
        async with opened(url) as database:
            key, secret = await add_key(database, money(300 * COST / NANO))
            other, of_other = await add_key(database, money(4 * COST / NANO))
            _, without_limits = await add_key(database)
            _, unknown = await add_key(database)
        with (
            replicas(1, upstream, url) as (closed,),
            replicas(1, upstream, url, FAIL_OPEN="true") as (fails_open,),
        ):
            answered = [await ask(closed.url, each) for each in (secret, without_limits)]
            answered += [await ask(fails_open.url, of_other)]
            assert [each.status for each in answered] == [200, 200, 200]
            with server.hanging():
                asked = await asyncio.gather(*[ask(closed.url, secret) for _ in range(40)])
                assert {503} <= {each.status for each in asked} <= {200, 503}
                assert max(each.seconds for each in asked) < SECONDS
            answered += [each for each in asked if each.status == 200]
            await eventually(closed, secret, 200)
            await asyncio.to_thread(server.stop)
            refused = await eventually(closed, secret, 503)
            assert (b"spend limit unavailable" in refused.body, refused.headers["retry-after"]) == (True, "1")
            # what has no limits needs no database, and neither do keys of the environment
            for each in (without_limits, OF_ENVIRONMENT):
                assert (await ask(closed.url, each)).status == 200
            for replica in (closed, fails_open):
                reply = await ask(replica.url, unknown)
                assert (reply.status, b"the database does not answer" in reply.body) == (503, True)
                assert reply.seconds < SECONDS
                assert (await got(f"{replica.url}/health")).status_code == 200
            passed = [await ask(fails_open.url, of_other) for _ in range(10)]
            assert [each.status for each in passed] == [200] * 10
            assert max(each.seconds for each in passed) < SECONDS
            await asyncio.to_thread(server.start)
            await eventually(closed, secret, 200)
            # what was let through is charged, and exceeds the budget
            await eventually(fails_open, of_other, 429, passed)
            async with opened(url) as database:
                count = 1 + len(passed)
                await until_posted(database, other, count)
                rows = await ledger_of(database, other)
                assert {row.request_id for row in rows} == {each.request_id for each in [answered[2], *passed]}
                assert await balance_of(database, other) == (count * COST, 0)
                async with asyncio.timeout(30):
                    while (await balance_of(database, key))[0] != len(await ledger_of(database, key)) * COST:
                        await asyncio.sleep(0.1)
                assert (await balance_of(database, key))[0] <= 300 * COST
            passed_without, refused_without = (
                {line["message"] for line in each.lines()} for each in (fails_open, closed)
            )
            assert "a call was let through without its limits" in passed_without - refused_without


async def test_a_database_that_does_not_answer_ends_the_start_after_two_seconds(tmp_path: Path) -> None:
    waited: list[float] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        await reader.read()
        waited.append(time.monotonic() - began)
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"postgresql://outcrop:s3cret@127.0.0.1:{listening.sockets[0].getsockname()[1]}/outcrop"
    ended = await asyncio.to_thread(started, tmp_path, url)
    listening.close()
    assert ended.returncode == 2
    assert "did not answer within 2 seconds" in ended.stderr
    assert "s3cret" not in ended.stderr
    assert sum(waited) < SECONDS


def test_a_full_disk_ends_the_start(tmp_path: Path, url: str) -> None:
    ended = started(tmp_path, url, max_file_bytes=0)
    assert ended.returncode == 2
    assert f"DATA_DIR: {tmp_path}" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def started(folder: Path, url: str, max_file_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Start a gateway that ends by itself."""

    def limit() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    variables = {"PORT": "0", "KEY_PEPPER": PEPPER, "DATABASE_URL": url, "DATA_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "app"],
        env=environment(**aws("http://127.0.0.1:9"), **variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )


@contextlib.contextmanager
def full(replica: Replica) -> Iterator[None]:
    """Let a gateway begin no other file of its journal, as on a full disk."""
    before = resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, before)


async def fill(replica: Replica, room: int) -> None:
    """Make calls until the file of a gateway's journal has less room than that, in bytes."""
    (path,) = replica.folder.glob("journal-*.jsonl")
    while path.stat().st_size - len(path.read_bytes().rstrip(b"\0")) > room:
        await ask_all([replica], OF_ENVIRONMENT, 5)


async def test_a_full_disk_refuses_calls_and_loses_none(
    upstream: str, url: str, database: Database, tmp_path: Path
) -> None:
    key, secret = await add_key(database, money(1))
    # a pipe is not a file that the limit is about, and it has room for few lines
    reading, writing = os.pipe()
    replica = Replica(upstream, tmp_path, DATABASE_URL=url, LOG_LEVEL="WARNING")
    replica.log = Path(f"/proc/self/fd/{writing}")
    replica.start()
    try:
        await asyncio.to_thread(replica.wait)
        answered = [await ask(replica.url, secret)]
        await fill(replica, 10_000)
        running = asyncio.create_task(ask(replica.url, secret, model=SLOWER))
        while len(await ledger_of(database, key, "hold")) < 1:
            await asyncio.sleep(0.02)
        with full(replica):
            while (await ask(replica.url, OF_ENVIRONMENT)).status == 200:
                pass
            for each in (secret, OF_ENVIRONMENT):
                refused = await ask(replica.url, each)
                assert (refused.status, b"the gateway cannot record calls now" in refused.body) == (503, True)
                assert refused.seconds < SECONDS
            # it was admitted before, and its settlement is only in memory until the database has it
            answered.append(await running)
            # the database has all calls of the file soon, and it is used again
            await until_posted(database, key, 2)
            async with asyncio.timeout(10):
                while (again := await ask(replica.url, secret)).status != 200:
                    await asyncio.sleep(0.1)
            answered.append(again)
        answered.append(await ask(replica.url, secret))
        assert [each.status for each in answered] == [200, 200, 200, 200]
        await until_posted(database, key, 4)
        replica.kill()
        replica.start()
        await asyncio.to_thread(replica.wait)
    finally:
        replica.stop()
        os.close(writing)
    rows = await ledger_of(database, key)
    assert sorted(row.request_id for row in rows) == sorted(each.request_id for each in answered)
    assert await balance_of(database, key) == (4 * COST, 0)
    with os.fdopen(reading, "rb") as log:
        assert log.read().count(b"the journal cannot be written") == 1


async def test_a_model_without_a_price_is_refused_where_a_budget_blocks(
    upstream: str, url: str, database: Database
) -> None:
    _, secret = await add_key(database, money(1))
    key, warned = await add_key(database, money(1, action="warn"))
    with replicas(1, upstream, url) as (replica,):
        turns = [{"role": "user", "content": "hi"}]
        calls = {
            "/v1/chat/completions": {"model": UNPRICED, "messages": turns},
            "/v1/messages": {"model": UNPRICED, "messages": turns, "max_tokens": 2},
            f"/model/{UNPRICED}/converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        }
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(base_url=replica.url, headers=headers, timeout=20) as client:
            refused = [await client.post(path, json=body) for path, body in calls.items()]
        assert [each.status_code for each in refused] == [404, 404, 404]
        for each in refused:
            assert f"the model '{UNPRICED}' is not known, or the price of it is not" in each.text
            assert "[prices]" in each.text
        assert (await ask(replica.url, warned, model=UNPRICED)).status == 200
        assert (await ask(replica.url, secret)).status == 200
        deadline = time.monotonic() + 30
        while not (rows := await ledger_of(database, key)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    assert [(row.cost_nano, row.output_tokens) for row in rows] == [(None, 2)]


async def test_windows_follow_the_clock_of_the_database(upstream: str, url: str, database: Database) -> None:
    """The clocks of gateway and database differ by 40 days. Another replica may have any other clock."""
    later = "create function shifted.clock_timestamp() returns timestamptz language sql as "
    async with database.begin() as connection:
        await connection.execute(text("create schema shifted"))
        await connection.execute(text(f"{later} 'select pg_catalog.clock_timestamp() + interval ''40 days'''"))
        name = (await connection.execute(text("select current_database()"))).scalar_one()
        await connection.execute(text(f'alter database "{name}" set search_path = shifted, pg_catalog, public'))
    expected = datetime.now(UTC) + timedelta(days=40)
    key, secret = await add_key(
        database, money(16 * COST / NANO, period="day"), expires_at=datetime.now(UTC) + timedelta(days=41)
    )
    _, of_expired = await add_key(database, expires_at=datetime.now(UTC) + timedelta(days=39))
    admin = {"x-api-key": "an-administrator-of-tests"}
    with replicas(2, upstream, url, ADMIN_KEYS="ops=an-administrator-of-tests") as found:
        assert [(await ask(each.url, secret)).status for each in found] == [200, 200]
        expired = await ask(found[0].url, of_expired)
        assert (expired.status, b"this API key has expired" in expired.body) == (401, True)
        await until_posted(database, key, 2)
        spend = (await got(f"{found[0].url}/admin/v1/spend?key_id={key.id}", admin)).json()["data"][0]
        day = (await got(f"{found[1].url}/admin/v1/usage?key_id={key.id}&interval=day", admin)).json()["data"][0]
    async with database.begin(reads=True) as connection:
        keys = (await connection.execute(select(tables.balances.c.key))).scalars().all()
    # the test may run at midnight
    days = {f"{moment:%Y-%m-%d}" for moment in (expected, expected + timedelta(minutes=2))}
    assert {each.rpartition("/")[2] for each in keys} <= days
    assert (spend["posted_usd"], spend["resets_at"][:10] > min(days)) == ("0.004", True)
    assert (day["start"][:10] in days, day["requests"]) == (True, 2)
    assert {f"{row.at:%Y-%m-%d}" for row in await ledger_of(database, key)} <= days
