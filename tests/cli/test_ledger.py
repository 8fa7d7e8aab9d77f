"""`outcrop ledger`."""

import asyncio
import csv
import gzip
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from app.governance.leases.store import hold_replica, lock, write
from app.governance.ledger.entry import Entry
from app.governance.ledger.export import LedgerFilter, read_entries
from app.governance.ledger.posting import post
from app.storage import tables
from app.storage.database import DatabaseDown
from app.storage.schema import prepare_schema
from tests.cli.outcrop_process import invoke, settings_of
from tests.databases import opened, running_postgres
from tests.servers import recording_server
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.loopback]
NOW = datetime.now(UTC)
_ODD = ("plain", 'quo"te', "a,b", "=1+1", "+x", "@x", "'q", "", "-12.5", "ünï😀", "two\nlines", "x" * 256, "\u2028")


async def fill(folder: Path) -> None:
    """A ledger of yesterday, today, and 500 days ago."""
    async with opened(f"sqlite:///{folder}/outcrop.db") as database:
        await prepare_schema(database, migrate=False)
        times = {"old": NOW - timedelta(days=500), "yesterday": NOW - timedelta(days=1), "today": NOW}
        entries = [
            Entry(
                attempt_id=name, phase="settle", at=at, replica_id="r", team_id="t", key_id=f"k-{name}",
                model_served="m", cost_nano=1_500_000_000,
            )
            for name, at in times.items()
        ]  # fmt: skip
        async with database.begin() as connection:
            now_us, _ = await hold_replica(connection, "r")
            rows = await lock(connection, "r", now_us, ())
            await post(connection, rows, entries)
            await write(connection, rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path))
    return tmp_path


def test_entries_are_exported_to_standard_output_and_to_files(folder: Path) -> None:
    shown = invoke(folder, "ledger", "export", "--from", "yesterday")
    assert shown.exit_code == 0, shown.stderr
    assert [json.loads(line)["attempt_id"] for line in shown.stdout.splitlines()] == ["yesterday", "today"]
    target = folder / "today.csv.gz"
    ended = invoke(folder, "ledger", "export", "--from", "today", "--output", str(target))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "1 entries were exported.\n")
    heading, row = gzip.decompress(target.read_bytes()).decode().splitlines()
    assert heading.startswith("attempt_id,phase,number,at,")
    assert row.startswith("today,settle,0,")
    assert "1.500000000" in row
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    invoke(folder, "ledger", "export", "--key", "k-old", "--format", "csv", "--output", f"{folder}/")
    assert len((folder / "ledger.csv").read_text().splitlines()) == 2
    assert not [each for each in folder.iterdir() if each.name.startswith(".")]


def test_a_team_is_exported_by_its_name(folder: Path) -> None:
    team = json.loads(invoke(folder, "teams", "create", "research").stdout)["id"]
    with closing(sqlite3.connect(folder / "outcrop.db")) as connection, connection:
        connection.execute("update ledger set team_id = ? where attempt_id = 'today'", (team,))
    for name in "research", team:
        shown = invoke(folder, "ledger", "export", "--team", name)
        assert [json.loads(line)["attempt_id"] for line in shown.stdout.splitlines()] == ["today"]
    deleted = invoke(folder, "ledger", "export", "--team", "0" * 26)
    assert (deleted.exit_code, deleted.stdout) == (0, "")
    assert invoke(folder, "ledger", "export", "--team", "").exit_code == 2
    unknown = invoke(folder, "ledger", "export", "--team", "reserch")
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: there is no team 'reserch'\n")


async def fill_with_odd_texts(url: str, count: int) -> list[str]:
    """Add entries; return their users in the order of their time."""
    users = [_ODD[number % len(_ODD)] for number in range(count)]
    entries = [
        Entry(
            attempt_id=f"r.{number}", phase="settle", at=NOW + timedelta(seconds=number), replica_id="r", user=user,
            labels={"centre": user}, cost_nano=number,
        )
        for number, user in enumerate(users)
    ]  # fmt: skip
    async with opened(url) as database:
        await prepare_schema(database, migrate=False)
        async with database.begin() as connection:
            rows = [structs.asdict(each) for each in entries]
            await connection.execute(tables.ledger.insert(), rows)
    return users


def test_every_text_is_exported_as_it_is(folder: Path) -> None:
    users = asyncio.run(fill_with_odd_texts(f"sqlite:///{folder}/outcrop.db", 2_500))
    # there are more ends of lines than these
    lines = invoke(folder, "ledger", "export", "--from", NOW.isoformat()).stdout.removesuffix("\n").split("\n")
    documents = [each for each in map(json.loads, lines) if each["replica_id"] == "r" and each["user"] in _ODD]
    assert [each["user"] for each in documents if each["attempt_id"] != "today"] == users
    invoke(folder, "ledger", "export", "--from", NOW.isoformat(), "--output", f"{folder}/odd.csv")
    with (folder / "odd.csv").open(encoding="utf-8", newline="") as file:
        rows = [each for each in csv.DictReader(file) if each["attempt_id"] != "today"]
    assert [each["user"] for each in rows] == [f"'{user}" if user[:1] in ("=", "+", "@") else user for user in users]
    assert [json.loads(each["labels"])["centre"] for each in rows] == users
    assert [each["cost_usd"] for each in rows] == [f"0.{number:09}" for number in range(2_500)]


@contextmanager
def exporting(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Run an export that has begun to write."""
    command = [sys.executable, "-m", "app", "ledger", "export", "--output", f"{folder}/out.csv"]
    given = {"PATH": os.environ["PATH"], **settings_of(folder), "DATABASE_URL": url, "DATA_DIR": str(folder)}
    with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any(each.stat().st_size for each in folder.glob(".out.csv.*")))
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["SIGTERM", "SIGINT", "database"])
def test_an_export_that_ends_early_leaves_no_file(tmp_path: Path, ends: str) -> None:
    with running_postgres() as server:
        url = asyncio.run(server.create())
        asyncio.run(fill_with_odd_texts(url, 30_000))
        with exporting(tmp_path, url) as process:
            if ends == "database":
                server.stop()
            else:
                process.send_signal(getattr(signal, ends))
            _, said = process.communicate(timeout=30)
        assert process.returncode == {"SIGTERM": 143, "SIGINT": 1, "database": 1}[ends], said
        assert (ends, said.startswith("Error: postgresql://")) in [("database", True), (ends, False)]
        assert list(tmp_path.iterdir()) == []


async def test_an_export_from_a_database_that_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.bounded._FETCH_SECONDS", 0.5)
    with running_postgres() as server:
        url = await server.create()
        await fill_with_odd_texts(url, 5_000)
        async with opened(url) as database:
            found = read_entries(database, LedgerFilter())
            await anext(found)
            with server.hanging(), pytest.raises(DatabaseDown, match="sent no rows"):
                async for _ in found:
                    pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("arguments", [("ledger", "export"), ("ledger", "list")])
def test_a_full_disk_behind_the_output_is_said(folder: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "app", *arguments]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "", **settings_of(folder)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "Error: the output cannot be written: No space left on device\n")


def test_the_newest_entries_are_listed(folder: Path) -> None:
    listed = json.loads(invoke(folder, "ledger", "list", "--limit", "2").stdout)["data"]
    assert [(each["attempt_id"], each["cost_usd"]) for each in listed] == [("today", "1.50"), ("yesterday", "1.50")]
    only = json.loads(invoke(folder, "ledger", "list", "--key", "k-old", "--to", "today").stdout)["data"]
    assert [each["attempt_id"] for each in only] == ["old"]


def test_what_cannot_be_written_ends_with_1(folder: Path) -> None:
    ended = invoke(folder, "ledger", "export", "--output", "/nowhere/x.csv")
    assert ended.exit_code == 1
    assert "/nowhere/x.csv cannot be written: No such file or directory" in ended.stderr
    assert invoke(folder, "ledger", "export", "--from", "sometime").exit_code == 2
    ended = invoke(folder, "ledger", "export", "--from", "today", "--to", "yesterday")
    assert (ended.exit_code, "--to: must be after --from" in ended.stderr) == (2, True)


@pytest.mark.parametrize("status", [200, 403])
def test_entries_are_exported_to_s3(folder: Path, status: int) -> None:
    with recording_server(status) as (url, objects):
        ended = invoke(
            folder, "ledger", "export", "--from", "today", "--format", "jsonl", "--output", "s3://bucket/costs/",
            AWS_ENDPOINT_URL_S3=url, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b",
        )  # fmt: skip
    assert ended.exit_code == (0 if status == 200 else 1), ended.stderr
    path, _, body = objects[0]
    assert path == f"/bucket/costs/ledger-from-{NOW:%Y-%m-%d}.jsonl"
    assert b'"attempt_id":"today"' in body
    if status == 403:
        assert "s3://bucket/costs/" in ended.stderr
        assert "403" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_wrong_sums_are_shown_and_rebuilt(folder: Path) -> None:
    good = invoke(folder, "ledger", "verify")
    assert good.exit_code == 0, good.stderr
    assert good.stdout.endswith(": 0 differences.\n")
    with closing(sqlite3.connect(folder / "outcrop.db")) as connection, connection:
        connection.execute("update usage set requests = 7 where key_id = 'k-today' and interval = 'day'")
    wrong = invoke(folder, "ledger", "verify")
    assert wrong.exit_code == 1
    assert "key_id=k-today" in wrong.stdout
    assert "-6 requests" in wrong.stdout
    rebuilt = invoke(folder, "ledger", "verify", "--rebuild")
    assert (rebuilt.exit_code, f"{NOW:%Y-%m-%d}: 1 sums were corrected." in rebuilt.stdout) == (0, True)


def test_old_entries_are_deleted(folder: Path) -> None:
    assert invoke(folder, "ledger", "prune").stdout == "ledger: 1 rows were deleted.\n"
    assert invoke(folder, "ledger", "prune").stdout == "Nothing is old.\n"
    shown = invoke(folder, "ledger", "export")
    assert [json.loads(line)["attempt_id"] for line in shown.stdout.splitlines()] == ["yesterday", "today"]


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    ended = invoke(tmp_path, "ledger", "export", DATABASE_URL="")
    assert (ended.exit_code, "DATABASE_URL is not set" in ended.stderr) == (2, True)
