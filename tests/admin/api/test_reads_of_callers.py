"""Callers who read their own usage and limits."""

import asyncio

import pytest
from sqlalchemy import text

from app.admin.api.documents.own import OwnLimits
from app.admin.api.own_account import OwnAccount
from app.admin.api.routes.idempotency import StoredAnswers
from app.admin.api.routes.transactions import Transactions
from app.errors import InvalidRequest
from app.governance.identity.caller import Caller
from app.storage.database import AsyncConnection, Database


async def test_many_reads_of_a_caller_leave_connections_to_administrators(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions, ends = Transactions(database, StoredAnswers(b"a pepper")), asyncio.Event()

    async def slow(*_: object) -> OwnLimits:
        await ends.wait()
        return OwnLimits(
            team_id="", key_id="", name="", models=[], default_max_tokens=None, largest_max_tokens=None, limits=[],
            budgets=[],
        )  # fmt: skip

    async def count(connection: AsyncConnection) -> int:
        return int((await connection.execute(text("select 1"))).scalar_one())

    monkeypatch.setattr("app.admin.api.own_account.own_limits", slow)
    account = OwnAccount(transactions)
    reads = [asyncio.create_task(account.limits(Caller("one"), {})) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert await transactions.read(count) == 1
    ends.set()
    assert len(await asyncio.gather(*reads)) == 20


async def test_unknown_parameters_are_refused(database: Database) -> None:
    account = OwnAccount(Transactions(database, StoredAnswers(b"a pepper")))
    for read in (account.limits, account.usage):
        with pytest.raises(InvalidRequest, match="is unknown here") as refused:
            await read(Caller("one"), {"users": "ada"})
        assert refused.value.param == "users"
