"""A process that admits and settles calls by a budget, as a gateway does: for tests that kill such processes.

    python -m tests.governance.admitting_process URL FOLDER BUDGET_ID CALLS PARALLEL HELD COST SECONDS

It prints a line for each call that was answered, and at the end how many were refused and how long the slowest waited.
"""

import asyncio
import sys
import time
from pathlib import Path

from msgspec import structs
from sqlalchemy import select

from app.config.database_url import parse_database_url
from app.errors import BudgetSpent, GatewayError
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits
from app.governance.holds.needs import Subject
from app.governance.leases.client import LeaseClient
from app.governance.ledger.entry import Entry
from app.governance.ledger.posting import take_leases
from app.governance.ledger.writer import LedgerWriter
from app.storage.database import Database
from app.storage.records import Budget, new_id
from app.storage.repository import budgets
from app.storage.tables import budgets as table


async def main(url: str, folder: str, budget_id: str, *numbers: str) -> None:
    calls, parallel, held, cost = map(int, numbers[:4])
    seconds = float(numbers[4])
    database = Database(parse_database_url(url))
    client = LeaseClient(database, take_leases)
    await client.start()
    ledger = LedgerWriter(client, Path(folder))
    await ledger.start()
    limits = CallLimits(client)
    async with database.begin() as connection:
        found: list[Budget] = await budgets.find(connection, table.c.id == budget_id)
    subject = Subject("t", "k", budgets=found)
    turns, slowest = asyncio.Semaphore(parallel), 0.0
    refused = {"spent": 0, "unavailable": 0}
    print("ready", await _revision(database), flush=True)

    async def call() -> None:
        nonlocal slowest
        async with turns:
            started = time.monotonic()
            try:
                hold = await limits.hold(subject, "m", CallBounds(10, 10), held)
            except GatewayError as error:
                refused["spent" if isinstance(error, BudgetSpent) else "unavailable"] += 1
                return
            finally:
                slowest = max(slowest, time.monotonic() - started)
            entry = Entry(
                attempt_id=new_id(), phase="hold", replica_id=hold.replica, team_id="t", key_id="k",
                charged_to=dict.fromkeys(hold.rules.money, held),
            )  # fmt: skip
            ledger.admit(entry)
            await asyncio.sleep(seconds)
            limits.settle(hold, cost, 20)
            charges = dict.fromkeys(hold.rules.money, cost)
            ledger.settle(structs.replace(entry, phase="settle", cost_nano=cost, charged_to=charges))
            print("answered", entry.attempt_id, flush=True)

    await asyncio.gather(*[call() for _ in range(calls)])
    print("refused", refused["spent"], refused["unavailable"], f"{slowest:.3f}", flush=True)
    await client.close(keep_leases=not await ledger.close())
    await database.close()


async def _revision(database: Database) -> int:
    async with database.begin() as connection:
        return len((await connection.execute(select(table.c.id))).all())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
