"""Webhooks: which events are sent, once over all replicas, signed and repeated, on both kinds of databases."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct, field, structs
from sqlalchemy import insert, select, update

from app.bedrock.http1.transport import Http1Transport
from app.governance.leases.windows import window_of
from app.governance.maintenance.retention import delete_old_rows
from app.governance.webhooks.sender import Receiver, deliver
from app.governance.webhooks.watch import WebhookWatch
from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget, Key, Team, now
from app.storage.repository import budgets, keys, teams
from tests.databases import opened, running_postgres
from tests.waiting import until

pytestmark = pytest.mark.loopback

SECRET = b"0123456789abcdef0123456789abcdef"
USD = 10**9


class Sent(Struct):
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


class Server(Struct):
    """What receives webhooks. answers: statuses of the next answers; 200 after them."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    pause: float = 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        }
        self.sent.append(Sent(headers, await reader.readexactly(int(headers["content-length"]))))
        await asyncio.sleep(self.pause)
        status = self.answers.pop(0) if self.answers else 200
        writer.write(f"HTTP/1.1 {status} X\r\nlocation: {self.url}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    def types(self) -> list[str]:
        return [each.event["type"] for each in self.sent]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    given = Server()
    listener = await asyncio.start_server(given.handle, "127.0.0.1", 0)
    async with listener:
        given.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook"
        yield given


def watch_of(database: Database, server: Server, **options: float) -> WebhookWatch:
    return WebhookWatch(database, Receiver(server.url, SECRET, Http1Transport(30, 30, keeps_idle=False)), **options)


async def add_budget(database: Database, settled: int, **changes: Any) -> Budget:
    given: dict[str, Any] = {"scope": "team", "scope_id": "t", "period": "month", "amount_nano": 10 * USD}
    budget = Budget(**given | changes)
    async with database.begin() as connection:
        await budgets.add(connection, budget)
        await connection.execute(
            insert(tables.balances).values(
                key=key_of(budget), kind="budget", source_id=budget.id, settled=settled, leased=USD,
                refilled_at_ns=0, recalled_at_us=0,
            )
        )  # fmt: skip
    return budget


def key_of(budget: Budget) -> str:
    value = f"/{budget.per_value.replace('/', '#')}" if budget.per_value else ""
    return f"budget/{budget.id}{value}/{window_of(budget.period, now())[0]}"


async def settle(database: Database, budget: Budget, settled: int) -> None:
    async with database.begin() as connection:
        is_it = tables.balances.c.key == key_of(budget)
        await connection.execute(update(tables.balances).where(is_it).values(settled=settled))


async def test_a_budget_is_reported_once_at_each_threshold(database: Database, server: Server) -> None:
    budget = await add_budget(database, 7_499_999_999, per="user", per_value="teams/ann")
    watch = watch_of(database, server)
    await watch.look()
    assert server.sent == []
    for settled, percent in ((7_500_000_000, 75), (9_400_000_000, 75), (9_500_000_000, 95), (11 * USD, 100)):
        await settle(database, budget, settled)
        for _ in range(2):
            await watch.look()
        assert server.sent[-1].event["data"]["threshold_percent"] == percent
    assert [each.event["data"]["threshold_percent"] for each in server.sent] == [75, 95, 100]
    _, end = window_of("month", now())
    assert end is not None
    assert server.sent[0].event["data"] == {
        "threshold_percent": 75, "budget_id": budget.id, "team_id": "t", "per": "user", "value": "teams/ann",
        "period": "month", "action": "block", "amount_usd": "10.000000000", "posted_usd": "7.500000000",
        "held_usd": "1.000000000", "resets_at": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    await watch.close()


async def test_only_the_highest_threshold_is_reported_and_again_for_another_amount(
    database: Database, server: Server
) -> None:
    budget = await add_budget(database, 10 * USD)
    await add_budget(database, 10**6, period="day", amount_nano=0)
    watch = watch_of(database, server)
    await watch.look()
    async with database.begin() as connection:
        override = {"override_nano": 12 * USD, "override_until": now() + timedelta(hours=1)}
        await connection.execute(update(tables.budgets).where(tables.budgets.c.id == budget.id).values(override))
    await watch.look()
    found = [(each.event["data"]["threshold_percent"], each.event["data"]["amount_usd"][:2]) for each in server.sent]
    assert found == [(100, "10"), (75, "12")]
    await watch.close()


async def test_budgets_of_ended_windows_are_not_reported(database: Database, server: Server) -> None:
    budget = await add_budget(database, 0, period="day")
    async with database.begin() as connection:
        row = {"kind": "budget", "source_id": budget.id, "leased": 0, "refilled_at_ns": 0, "recalled_at_us": 0}
        await connection.execute(
            insert(tables.balances).values(key=f"budget/{budget.id}/2020-01-01", settled=10 * USD, **row)
        )
    watch = watch_of(database, server)
    await watch.look()
    assert server.sent == []
    await watch.close()


async def add_revoked_key(database: Database) -> None:
    async with database.begin() as connection:
        await teams.add(connection, Team(id="t", name="t"))
        gone = Key(id="k", name="laptop", team_id="t", person="ann", status="revoked", revoked_at=now())
        await keys.add(connection, gone)
        await keys.add(connection, structs.replace(gone, id="k2", revoked_at=now() - timedelta(days=3)))
        await keys.add(connection, Key(id="k3", name="in use", team_id="t"))


async def test_a_webhook_is_signed_as_standard_webhooks_are(database: Database, server: Server) -> None:
    await add_revoked_key(database)
    watch = watch_of(database, server)
    await watch.look()
    (sent,) = server.sent
    assert sent.event["type"] == "key.revoked"
    data = sent.event["data"]
    assert (data["key_id"], data["name"], data["team_id"], data["person"]) == ("k", "laptop", "t", "ann")
    identifier, seconds = sent.headers["webhook-id"], sent.headers["webhook-timestamp"]
    content = b".".join([identifier.encode(), seconds.encode(), sent.body])
    expected = base64.b64encode(hmac.new(SECRET, content, hashlib.sha256).digest()).decode()
    assert sent.headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(seconds) - datetime.now(UTC).timestamp()) < 10
    assert sent.headers["content-type"] == "application/json"
    await watch.close()


async def test_replicas_send_an_event_once(database: Database, server: Server) -> None:
    await add_revoked_key(database)
    for number in range(5):
        await add_budget(database, 10 * USD, per="user", per_value=f"user{number}")
    watches = [watch_of(database, server) for _ in range(4)]
    await asyncio.gather(*[watch.look() for watch in watches])
    await asyncio.gather(*[watch.look() for watch in watches])
    assert sorted(server.types()) == ["budget.threshold"] * 5 + ["key.revoked"]
    for watch in watches:
        await watch.close()


async def webhook_row(database: Database) -> Any:
    async with database.begin(reads=True) as connection:
        return (await connection.execute(select(tables.webhooks))).one()


@pytest.mark.parametrize("status", [500, 302, 410])
async def test_a_webhook_that_is_not_accepted_is_repeated_later_with_the_same_id(
    database: Database, server: Server, status: int
) -> None:
    await add_revoked_key(database)
    server.answers = [status, status]
    watch = watch_of(database, server)
    await watch.look()
    await watch.look()
    assert len(server.sent) == 1, "it waits, and follows no redirect"
    receiver, first = watch._receiver, now()
    for later in (29, 31, 80, 100):
        await deliver(database, receiver, first + timedelta(seconds=later))
    assert len(server.sent) == 3
    assert len({each.headers["webhook-id"] for each in server.sent}) == 1
    row = await webhook_row(database)
    assert (row.attempts, row.next_attempt_at, row.delivered_at is None) == (3, None, False)
    await watch.close()


async def test_a_webhook_that_is_never_accepted_is_given_up(database: Database, server: Server) -> None:
    await add_revoked_key(database)
    server.answers = [500] * 100
    watch, moment = watch_of(database, server), now()
    await watch.look()
    for _ in range(20):
        moment += timedelta(days=1)
        await deliver(database, watch._receiver, moment)
    row = await webhook_row(database)
    assert (len(server.sent), row.next_attempt_at, row.delivered_at) == (12, None, None)
    await watch.close()


async def test_an_unreachable_receiver_is_tried_again(database: Database, server: Server) -> None:
    await add_revoked_key(database)
    watch = WebhookWatch(database, Receiver("http://127.0.0.1:9/", SECRET, Http1Transport(30, 30, keeps_idle=False)))
    await watch.look()
    row = await webhook_row(database)
    assert (row.attempts, row.delivered_at, row.next_attempt_at > now()) == (1, None, True)
    await watch.close()


async def test_a_row_is_kept_as_long_as_its_budget_may_be_reported(database: Database, server: Server) -> None:
    budget = await add_budget(database, 10 * USD, period="total")
    await add_revoked_key(database)
    watch = watch_of(database, server)
    await watch.look()
    async with database.begin() as connection:
        await connection.execute(update(tables.webhooks).values(created_at=now() - timedelta(days=60)))
    assert await delete_old_rows(database, 400) == {"webhooks": 1}
    assert (await webhook_row(database)).subject.endswith(key_of(budget))
    async with database.begin() as connection:
        await connection.execute(tables.balances.delete())
    assert await delete_old_rows(database, 400) == {"webhooks": 1}
    await watch.close()


@pytest.mark.slow
async def test_trouble_with_the_database_is_reported_while_it_lasts_and_when_it_ends(server: Server) -> None:
    with running_postgres() as postgres:
        async with opened(await postgres.create_with_schema()) as database:
            watches = [watch_of(database, server, pause=0.1, down=0.2) for _ in range(2)]
            for watch in watches:
                watch.start()
            await asyncio.sleep(0.3)
            postgres.stop()
            await until(lambda: len(server.sent) == 2)
            await asyncio.sleep(0.5)
            assert server.types() == ["database.unreachable"] * 2, "each process reports it"
            assert "postgres" in server.sent[0].event["data"]["error"]
            postgres.start()
            await until(lambda: "database.recovered" in server.types())
            await asyncio.sleep(0.5)
            assert server.types()[2:] == ["database.recovered"], "once over all of them"
            for watch in watches:
                await watch.close()
            with contextlib.suppress(Exception):
                postgres.stop()
