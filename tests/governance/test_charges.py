"""Charges of attempts whose outcome is not known: nobody makes them cheap or dear for others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.converse.usage import Usage
from app.execution.abandoned_calls import AbandonedCalls
from app.execution.governed_attempt import GovernedAttempt
from app.governance.charges import Charge, Charges
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits, RequestHold
from app.governance.holds.needs import CalledModel
from app.governance.holds.subjects import Subjects
from app.governance.identity.caller import Caller, Policy
from app.governance.leases.client import LeaseClient
from app.governance.ledger.posting import take_leases
from app.governance.ledger.writer import LedgerWriter
from app.models.exact_prices import ExactPrices
from app.models.prices import Prices
from app.storage import tables
from app.storage.database import Database

ADA, BOB = (Caller(f"oidc/corp/{name}", Policy(team_id="t", person=name)) for name in ("ada", "bob"))
MODEL = CalledModel("m", "m", "", "m", "", "")
BOUNDS = CallBounds(1000, 1000)
Begin = Callable[[Caller], Awaitable[Charge]]


@asynccontextmanager
async def charging(database: Database, folder: Path) -> AsyncIterator[tuple[Charges, Begin]]:
    client = LeaseClient(database, take_leases)
    await client.start()
    charges = Charges(CallLimits(client), ExactPrices(Prices()))
    charges.ledger = LedgerWriter(client, folder)
    await charges.ledger.start()

    async def begin(caller: Caller) -> Charge:
        terms = charges.terms_of(Subjects().of(caller, ""), MODEL)
        return await charges.begin(terms, RequestHold(), BOUNDS, "r")

    try:
        yield charges, begin
    finally:
        await client.close(keep_leases=not await charges.ledger.close())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_persons_without_keys_make_estimates_for_themselves_only(database: Database, tmp_path: Path) -> None:
    async with charging(database, tmp_path) as (charges, begin):
        for _ in range(8):
            charges.settle(await begin(ADA), Usage(input=1, output=1), "", "ok")
        for caller in (ADA, BOB):
            charges.settle(await begin(caller), None, "", "cut")
    async with database.begin(reads=True) as connection:
        query = select(tables.ledger.c.user, tables.ledger.c.output_tokens).where(tables.ledger.c.outcome == "cut")
        found = await connection.execute(query)
        assert {row.user: row.output_tokens for row in found} == {"ada": 1, "bob": 1000}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_person_without_a_key_leaves_room_for_the_streams_of_others(database: Database, tmp_path: Path) -> None:
    async with charging(database, tmp_path) as (charges, begin):
        attempt: Any = None
        abandoned = AbandonedCalls()
        governed = GovernedAttempt(attempt, charges, abandoned)
        found = [governed._read_on(await begin(caller), asyncio.sleep(60)) for caller in (*[ADA] * 11, BOB)]
        await abandoned.close()
    assert found == [*[True] * 10, False, True]
