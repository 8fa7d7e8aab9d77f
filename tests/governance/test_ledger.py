"""The ledger: each attempt once in it, whatever fails, on both kinds of databases."""

import asyncio
import os
import random
import string
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Row, func, select, update

from app.admin.api.documents.reports import LedgerQuery
from app.admin.api.operations.ledger import list_ledger
from app.errors import Overloaded
from app.governance.charges import Charges
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits, RequestHold
from app.governance.holds.needs import CalledModel
from app.governance.holds.subjects import Subjects
from app.governance.identity.caller import Caller, Policy
from app.governance.leases import store
from app.governance.leases.client import LeaseClient
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.ledger.entry import Entry
from app.governance.ledger.export import LedgerFilter, as_document, read_entries
from app.governance.ledger.journal import JournalFull
from app.governance.ledger.posting import take_leases
from app.governance.ledger.verification import verify
from app.governance.ledger.writer import LedgerWriter
from app.models.exact_prices import ExactPrices
from app.models.prices import Prices
from app.storage import tables
from app.storage.database import AsyncConnection, Database, DatabaseDown
from app.storage.records import Budget, new_id
from app.storage.repository import budgets
from tests.databases import opened, running_postgres

HELD, COST = 700, 600


class Process:
    """What a gateway's process has: leases, and a ledger."""

    def __init__(self, database: Database, folder: Path, ref: BalanceRef) -> None:
        self.client = LeaseClient(database, take_leases)
        self.folder, self.ref = folder, ref

    async def start(self) -> "Process":
        await self.client.start()
        self.ledger = LedgerWriter(self.client, self.folder)
        await self.ledger.start()
        return self

    async def admit(self, attempt: str) -> tuple[Entry, LeaseBook]:
        book = await self.client.acquire({self.ref.key: HELD}, {self.ref.key: self.ref})
        assert isinstance(book, LeaseBook)
        replica = self.client.transactions.replica
        entry = Entry(
            attempt_id=attempt, phase="hold", replica_id=replica, team_id="t", key_id="k", model_served="m",
            charged_to={self.ref.key: HELD},
        )  # fmt: skip
        self.ledger.admit(entry)
        return entry, book

    def settle(self, admitted: tuple[Entry, LeaseBook], *, is_estimated: bool = False) -> None:
        entry, book = admitted
        self.client.settle(book, {self.ref.key: HELD}, {self.ref.key: COST})
        charged_to = {self.ref.key: COST}
        settled = structs.replace(
            entry, phase="settle", cost_nano=COST, input_tokens=10, output_tokens=5, charged_to=charged_to
        )
        self.ledger.settle(structs.replace(settled, is_estimated=is_estimated))

    async def call(self, attempt: str = "") -> None:
        self.settle(await self.admit(attempt or new_id()))

    async def close(self) -> None:
        await self.client.close(keep_leases=not await self.ledger.close())

    async def kill(self) -> None:
        """End without the rest: the files and the database are as a killed process leaves them."""
        for task in [self.ledger._task, *self.client._housekeeping._tasks, self.client._pump]:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self.ledger._journal.close(delete=False)


async def add_budget(database: Database, amount: int = 10**9) -> BalanceRef:
    budget = Budget(scope="team", scope_id="t", period="total", amount_nano=amount)
    async with database.begin() as connection:
        await budgets.add(connection, budget)
    return BalanceRef(f"budget/{budget.id}/total", "budget", budget.id)


@pytest.fixture
async def ref(database: Database) -> BalanceRef:
    return await add_budget(database)


@asynccontextmanager
async def running(database: Database, folder: Path, ref: BalanceRef) -> AsyncIterator[Process]:
    process = await Process(database, folder, ref).start()
    try:
        yield process
    finally:
        await process.close()


async def balance(database: Database, ref: BalanceRef) -> tuple[int, int]:
    """What is settled and leased."""
    async with database.begin() as connection:
        row = (await connection.execute(select(tables.balances).where(tables.balances.c.key == ref.key))).one()
        return row.settled, row.leased


async def entries(database: Database, phase: str = "settle") -> Sequence[Row[tuple[object, ...]]]:
    async with database.begin() as connection:
        return (await connection.execute(select(tables.ledger).where(tables.ledger.c.phase == phase))).all()


async def usage(database: Database) -> tuple[int, int]:
    """Requests and cost of the days."""
    table = tables.usage
    async with database.begin() as connection:
        query = select(func.sum(table.c.requests), func.sum(table.c.cost_nano)).where(table.c.interval == "day")
        requests, cost = (await connection.execute(query)).one()
    return int(requests or 0), int(cost or 0)


async def test_each_call_is_in_the_ledger_once(database: Database, ref: BalanceRef, tmp_path: Path) -> None:
    async with running(database, tmp_path, ref) as process:
        await asyncio.gather(*[process.call() for _ in range(300)])
    assert len(await entries(database)) == 300
    assert await entries(database, "hold") == []
    assert await balance(database, ref) == (300 * COST, 0)
    assert await usage(database) == (300, 300 * COST)
    assert not any(name.startswith("journal-") for name in os.listdir(tmp_path))  # noqa: PTH208


async def test_a_killed_process_has_each_attempt_once_after_the_restart(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    """300 answers, and 20 calls in flight."""
    process = await Process(database, tmp_path, ref).start()
    for number in range(300):
        await process.call(f"a{number}")
        if number == 150:
            await process.ledger.post_batch()
    for number in range(20):
        await process.admit(f"open{number}")
    await process.kill()
    async with running(database, tmp_path, ref):
        found = await entries(database)
        assert len(found) == 320
        assert {row.attempt_id: row.cost_nano for row in found if row.is_estimated} == {
            f"open{number}": HELD for number in range(20)
        }
        assert await balance(database, ref) == (300 * COST + 20 * HELD, 0)
        assert await usage(database) == (320, 300 * COST + 20 * HELD)


async def test_a_journal_that_is_replayed_twice_counts_once(
    database: Database, ref: BalanceRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await Process(database, tmp_path, ref).start()
    for number in range(10):
        await process.call(f"a{number}")
    await process.kill()

    async def fails(*_: object) -> None:
        raise DatabaseDown("lost")

    with monkeypatch.context() as patched:
        patched.setattr("app.governance.ledger.writer.close_replica", fails)
        with pytest.raises(DatabaseDown):
            await Process(database, tmp_path, ref).start()
    async with running(database, tmp_path, ref):
        assert await balance(database, ref) == (10 * COST, 0)
        assert len(await entries(database)) == 10


def kept_in(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[2] for path in folder.iterdir() if path.name.endswith(".unreadable"))


def mend(folder: Path, bad: str) -> None:
    """Remove bad lines from the journal that was kept, and have it posted again as docs/operate/ledger.md says."""
    (kept,) = folder.glob("*.unreadable")
    lines = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join(line for line in lines if line not in bad))
    kept.rename(kept.with_suffix(""))
    (folder / f"{kept.name.partition('.')[0]}.lock").touch()


def damage(folder: Path, *phases: str) -> None:
    """Make the lines of the attempt `damaged` in some phases unreadable."""
    (file,) = folder.glob("*.jsonl")
    lines = file.read_text().split("\n")
    is_damaged = [any(f'"damaged","phase":"{phase}"' in line for phase in phases) for line in lines]
    assert sum(is_damaged) == len(phases)
    changed = [line.replace("{", "[", 1) if bad else line for line, bad in zip(lines, is_damaged, strict=True)]
    file.write_text("\n".join(changed))


def correct(folder: Path) -> None:
    """Correct the lines, and have them posted as docs/operate/ledger.md says."""
    (kept,) = folder.glob("*.unreadable")
    kept.write_text("".join("{" + line[1:] for line in kept.read_text().splitlines(keepends=True)))
    kept.rename(kept.with_suffix(""))
    (folder / f"{kept.name.partition('.')[0]}.lock").touch()


async def take_expired(database: Database) -> None:
    """Do what a replica does when others have not renewed their leases."""
    async with database.begin() as connection:
        is_live = tables.replicas.c.state == "live"
        live = [*(await connection.execute(select(tables.replicas.c.id).where(is_live))).scalars()]
    for replica in live:
        await expire(database, replica)
        assert await take_leases(database, replica)


@pytest.mark.parametrize("phases", [["settle"], ["hold"], ["hold", "settle"]])
@pytest.mark.parametrize("is_lost", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_damaged_journal_that_is_corrected_charges_what_it_would_have_charged_at_once(
    database: Database, ref: BalanceRef, tmp_path: Path, phases: list[str], *, is_lost: bool, is_known: bool
) -> None:
    """is_known: the database has the hold of the call whose lines are damaged."""
    process = await Process(database, tmp_path, ref).start()
    await process.call("good")
    admitted = await process.admit("damaged")
    if is_known:
        await asyncio.sleep(0.3)
        await process.ledger.post_batch()
    process.settle(admitted)
    await process.kill()
    damage(tmp_path, *phases)
    if is_lost:
        await take_expired(database)
    for _ in range(2):
        async with running(database, tmp_path, ref):
            assert sum(await balance(database, ref)) >= 2 * COST, "what cannot be read stays charged"
        await take_expired(database)
        settled, leased = await balance(database, ref)
        assert (settled >= 2 * COST, leased) == (True, 0)
        assert not is_known or len(await entries(database)) == 2
        if kept_in(tmp_path):
            correct(tmp_path)
    assert await balance(database, ref) == (2 * COST, 0)
    assert await usage(database) == (2, 2 * COST)
    assert kept_in(tmp_path) == []


def drop_lines(folder: Path, part: bytes) -> tuple[str, bytes]:
    """Remove the lines of a journal that contain something; return the name of its file, and what that contained."""
    (file,) = folder.glob("*.jsonl")
    content = file.read_bytes()
    file.write_bytes(b"".join(line for line in content.splitlines(keepends=True) if part not in line))
    return file.name, content


async def test_a_correction_for_a_replica_whose_leases_were_returned_goes_to_the_budget(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    process = await Process(database, tmp_path, ref).start()
    await process.call("damaged")
    await process.kill()
    name, content = drop_lines(tmp_path, b'"settle"')
    async with running(database, tmp_path, ref):
        assert await balance(database, ref) == (HELD, 0)
    (tmp_path / name).write_bytes(content)
    (tmp_path / f"{name.partition('.')[0]}.lock").touch()
    async with running(database, tmp_path, ref):
        assert await balance(database, ref) == (COST, 0)
    assert (await verify(database, datetime(2026, 1, 1, tzinfo=UTC))).balances == []


async def test_a_journal_with_bad_lines_keeps_no_process_from_its_start(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    bad = '{"replica":[]}\n{"attempt_id":"a","phase":"settle","cost_nano":99999999999999999999}\n'
    for name in ("bad", "good"):
        process = await Process(database, tmp_path, ref).start()
        await process.call(f"{name}1")
        if name == "bad":
            for line in bad.splitlines():
                process.ledger._journal._segments[-1].append(line.encode())
        await process.call(f"{name}2")
        await process.kill()
    async with running(database, tmp_path, ref):
        assert {row.attempt_id for row in await entries(database)} == {"bad1", "bad2", "good1", "good2"}
        assert (await balance(database, ref))[0] == 4 * COST
    assert kept_in(tmp_path) == ["000001.jsonl.unreadable"]
    mend(tmp_path, bad)
    async with running(database, tmp_path, ref):
        assert await balance(database, ref) == (4 * COST, 0)
    assert not any(name.startswith("journal-") for name in os.listdir(tmp_path))  # noqa: PTH208


async def test_entries_that_the_database_refuses_are_kept_and_others_are_posted(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    """A balance has 64 bits."""
    process = await Process(database, tmp_path, ref).start()
    await process.call("a1")
    entry, _ = await process.admit("a2")
    charges = {ref.key: 2**63 - 1}
    process.ledger._journal.write(structs.replace(entry, phase="settle", cost_nano=2**63 - 1, charged_to=charges))
    await process.call("a3")
    await process.kill()
    async with running(database, tmp_path, ref):
        assert {row.attempt_id for row in await entries(database)} == {"a1", "a3"}
        settled, leased = await balance(database, ref)
        assert (settled, leased >= HELD) == (2 * COST, True)
        assert await usage(database) == (2, 2 * COST)
    assert kept_in(tmp_path) == ["000001.jsonl.unreadable"]


async def test_an_entry_that_the_database_refuses_keeps_back_no_other(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    """A balance has 64 bits. The entry stays in the journal, for the next process."""
    async with running(database, tmp_path, ref) as process:
        await process.call("a1")
        entry, _ = await process.admit("a2")
        charges = {ref.key: 2**63 - 1}
        process.ledger.settle(structs.replace(entry, phase="settle", cost_nano=2**63 - 1, charged_to=charges))
        await process.call("a3")
        await process.ledger.post_batch()
        await process.call("a4")
    assert {row.attempt_id for row in await entries(database)} == {"a1", "a3", "a4"}
    assert (await balance(database, ref))[0] == 3 * COST
    async with running(database, tmp_path, ref):
        settled, leased = await balance(database, ref)
        assert (settled, leased >= HELD) == (3 * COST, True)
        assert await usage(database) == (3, 3 * COST)
    assert kept_in(tmp_path) == ["000001.jsonl.unreadable"]


async def test_the_longest_names_that_callers_choose_are_posted(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    """An index of PostgreSQL takes 2,700 bytes of a row, and compresses no text without repetitions."""
    letters = random.Random(1)
    model = "".join(letters.choices(string.ascii_letters + string.digits, k=2048))
    user = "".join(map(chr, letters.choices(range(0x20000, 0x2A000), k=256)))
    async with running(database, tmp_path, ref) as process:
        charges = Charges(CallLimits(process.client), ExactPrices(Prices()))
        charges.ledger = process.ledger
        called = CalledModel(model, model, "", model, "", "")
        labels = {f"label{number}": "".join(letters.choices(string.ascii_letters, k=256)) for number in range(8)}
        caller = Caller("k" * 64, Policy(team_id="t" * 26, key_id="k" * 64, labels=labels))
        terms = charges.terms_of(Subjects().of(caller, user), called)
        charge = await charges.begin(terms, RequestHold(), CallBounds(9, 9), "r")
        charges.release(charge, "not_found")
        await process.call()
        await process.ledger.post_batch()
    assert sorted(row.outcome for row in await entries(database)) == ["", "not_found"]


async def test_a_hold_with_its_worst_cost_is_in_no_sum(database: Database, ref: BalanceRef, tmp_path: Path) -> None:
    process = await Process(database, tmp_path, ref).start()
    replica = process.client.transactions.replica
    process.ledger.admit(Entry(attempt_id="a1", phase="hold", replica_id=replica, team_id="t", cost_nano=HELD))
    await asyncio.sleep(0.3)
    await process.ledger.post_batch()
    (held,) = await entries(database, "hold")
    assert held.cost_nano == HELD
    assert await usage(database) == (0, 0)
    exported = [as_document(each) async for each in read_entries(database, LedgerFilter())]
    assert [(each["phase"], each["cost_usd"]) for each in exported] == [("hold", None)]
    async with database.begin(reads=True) as connection:
        assert [row.cost_usd for row in (await list_ledger(connection, LedgerQuery())).data] == [None]
    await process.kill()
    # the key has no budget, and nobody knows how its call ended
    async with running(database, tmp_path, ref):
        (lost,) = await entries(database)
        assert (lost.cost_nano, lost.is_estimated, lost.outcome) == (HELD, True, "lost")
        assert await usage(database) == (1, HELD)


async def expire(database: Database, replica: str) -> None:
    async with database.begin() as connection:
        await connection.execute(update(tables.replicas).where(tables.replicas.c.id == replica).values(expires_at_us=0))


async def test_a_lost_machine_s_money_stays_charged_and_its_attempts_are_estimated(
    database: Database, ref: BalanceRef, tmp_path: Path
) -> None:
    process = await Process(database, tmp_path, ref).start()
    replica = process.client.transactions.replica
    await process.call("settled")
    await process.admit("open")
    await asyncio.sleep(0.3)
    await process.ledger.post_batch()
    await process.call("not posted")
    await process.kill()
    leased = (await balance(database, ref))[1]
    assert leased >= HELD + COST
    await expire(database, replica)
    assert await take_leases(database, replica)
    assert await balance(database, ref) == (COST + leased, 0), "nothing can be spent again"
    found = {row.attempt_id: (row.cost_nano, row.is_estimated) for row in await entries(database)}
    assert found == {"settled": (COST, False), "open": (HELD, True)}
    # its journal appears again
    async with running(database, tmp_path, ref):
        assert await balance(database, ref) == (2 * COST + HELD, 0)
        assert len(await entries(database)) == 3


@pytest.mark.parametrize("is_estimated", [False, True])
async def test_what_a_lost_attempt_held_is_corrected_by_another_entry(
    database: Database, ref: BalanceRef, tmp_path: Path, is_estimated: bool
) -> None:
    process = await Process(database, tmp_path, ref).start()
    replica = process.client.transactions.replica
    admitted = await process.admit("slow")
    await asyncio.sleep(0.3)
    await process.ledger.post_batch()
    await process.client._housekeeping.close()
    assert process.ledger._task is not None
    process.ledger._task.cancel()
    await asyncio.gather(process.ledger._task, return_exceptions=True)
    await expire(database, replica)
    assert await take_leases(database, replica)
    assert (await balance(database, ref))[0] >= HELD
    # it was only slow: its answer ends, and it finds that it was marked lost
    process.settle(admitted, is_estimated=is_estimated)
    for _ in range(2):
        try:
            await process.ledger.post_batch()
        except store.NotLive:
            continue
    await process.call("next")
    await process.close()
    (correction,) = await entries(database, "adjust")
    assert correction.is_estimated is is_estimated
    assert (correction.cost_nano, correction.charged_to) == (COST - HELD, {ref.key: COST - HELD})
    assert await usage(database) == (2, 2 * COST)
    assert await balance(database, ref) == (2 * COST, 0)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_batch_whose_answer_is_lost_counts_once(
    database: Database, ref: BalanceRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    real = store.write

    async def lost(connection: AsyncConnection, rows: store.LockedRows) -> None:
        await real(connection, rows)
        monkeypatch.undo()
        if is_committed:
            await connection.commit()
        raise DatabaseDown("the connection was lost")

    async with running(database, tmp_path, ref) as process:
        await process.call()
        monkeypatch.setattr("app.governance.ledger.writer.write", lost)
        with pytest.raises(DatabaseDown):
            await process.ledger.post_batch()
        await asyncio.sleep(0.6)
        await process.call()
        await process.ledger.post_batch()
        holding = process.client.transactions.book.of(ref.key)
        assert (holding.spent, holding.held) == (0, 0)
        assert holding.idle == holding.amount >= 0
    assert await balance(database, ref) == (2 * COST, 0)
    assert len(await entries(database)) == 2


async def test_a_call_whose_hold_cannot_be_recorded_is_refused(
    database: Database, ref: BalanceRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise JournalFull("the disk is full")

    async with running(database, tmp_path, ref) as process:
        admitted = await process.admit("a1")
        monkeypatch.setattr(process.ledger._journal, "write", full)
        with pytest.raises(Overloaded, match="cannot record calls"):
            await process.admit("a2")
        # what was admitted before is posted all the same
        process.settle(admitted)
    assert [row.attempt_id for row in await entries(database)] == ["a1"]


@pytest.mark.slow
async def test_calls_that_are_answered_while_the_database_is_down_are_posted_later(tmp_path: Path) -> None:
    with running_postgres() as server:
        async with opened(await server.create_with_schema()) as database:
            ref = await add_budget(database)
            async with running(database, tmp_path, ref) as process:
                admitted = [await process.admit(f"a{number}") for number in range(20)]
                server.stop()
                for each in admitted:
                    process.settle(each)
                await asyncio.sleep(1)
                server.start()
                async with asyncio.timeout(40):
                    while process.ledger._settled:
                        await asyncio.sleep(0.1)
            assert await balance(database, ref) == (20 * COST, 0)
            assert len(await entries(database)) == 20
