"""Changes of keys reach two gateways, each a process, within two seconds: also on connections that are open already."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from app.governance.identity.key_secrets import new_secret
from app.storage.database import Database
from app.storage.key_changes import touched
from app.storage.records import Key, Team, now
from app.storage.repository import key_secrets
from app.storage.tables import key_secrets as secrets_table
from tests.databases import PostgresServer, postgres
from tests.end_to_end.websockets_client import Caller, calling
from tests.keys import PEPPER, add_key, add_team, change_key, change_team, new_key, within
from tests.programs import aws, running
from tests.servers import HoldingBedrock, emulator_app, free_port, serving, upstream
from tests.waiting import wait_until

__all__ = ["postgres"]

pytestmark = [pytest.mark.slow, pytest.mark.database]

ECHO = "scripted.echo-v1:0"
HEARD_SECONDS = 2.0
CHAT = {"model": ECHO, "messages": [{"role": "user", "content": "hi"}]}


class Replicas(Struct):
    """Two gateways and their database."""

    urls: list[str]
    database: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def replicas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/outcrop.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = asyncio.run(server.create())
    with contextlib.ExitStack() as stack:
        bedrock = stack.enter_context(serving(emulator_app()))
        urls = []
        for number in range(2):
            port, data = free_port(), folder / f"{number}"
            data.mkdir()
            urls.append(f"http://127.0.0.1:{port}")
            settings = {**aws(bedrock), "DATABASE_URL": url, "KEY_PEPPER": PEPPER, "DATA_DIR": str(data)}
            stack.enter_context(running("app", url=f"{urls[-1]}/health", PORT=str(port), **settings))
        yield Replicas(urls, url)


class Connections(Struct):
    """An open connection and an open WebSocket of one key to one gateway."""

    http: httpx.Client
    socket: Caller

    def ask(self) -> tuple[int, str]:
        """Return the status of a request, and the type of the last event of a turn."""
        status = self.http.post("/v1/chat/completions", json=CHAT).status_code
        return status, self.socket.ask(model=ECHO, input="hi")["type"]


@contextlib.contextmanager
def connected(url: str, text: str) -> Iterator[Connections]:
    with (
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {text}"}, timeout=20) as client,
        calling(url, key=text) as socket,
    ):
        yield Connections(client, socket)


GOOD = (200, "response.completed")


def add(replicas: Replicas) -> tuple[str, Key, Team]:
    async def work(database: Database) -> tuple[str, Key, Team]:
        team = await add_team(database)
        return *await add_key(database, team), team

    return within(replicas.database, work)


def change(replicas: Replicas, changed: Any, **changes: Any) -> None:
    async def work(database: Database) -> None:
        await (change_key if isinstance(changed, Key) else change_team)(database, changed, **changes)

    within(replicas.database, work)


def ask_until(ask: Callable[[], object], expected: object) -> None:
    """Ask until replicas have heard of a change: seldom, since an address may fail to authenticate once a second."""
    time.sleep(HEARD_SECONDS)
    for _ in range(20):
        if ask() == expected:
            return
        time.sleep(1)
    assert ask() == expected


def test_changes_hold_for_the_next_request_everywhere(replicas: Replicas) -> None:
    cases = ("revoked", "blocked", "team", "expired", "models")
    added = {case: add(replicas) for case in cases}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(10) as pool:
        opened = {
            case: [stack.enter_context(connected(url, text)) for url in replicas.urls]
            for case, (text, _, _) in added.items()
        }
        everywhere = [connections for case in cases for connections in opened[case]]
        assert {*pool.map(Connections.ask, everywhere)} == {GOOD}
        for case, (_, key, team) in added.items():
            match case:
                case "team":
                    change(replicas, team, status="blocked")
                case "expired":
                    change(replicas, key, expires_at=now())
                case "models":
                    change(replicas, key, models=["other"])
                case status:
                    change(replicas, key, status=status)
        for case in cases:
            expected = (403, "error") if case == "models" else (401, "error")
            ask_until(lambda: [*pool.map(Connections.ask, opened[case])], [expected, expected])  # noqa: B023


def test_two_secrets_are_valid_while_a_key_is_rotated(replicas: Replicas) -> None:
    text, key, _ = add(replicas)

    async def rotate(database: Database) -> str:
        new, stored = new_secret(key.id, PEPPER.encode())
        async with database.begin() as connection:
            is_old = secrets_table.c.key_id == key.id
            ends = now() + timedelta(seconds=1.5)
            await connection.execute(secrets_table.update().where(is_old).values(expires_at=ends))
            await key_secrets.add(connection, stored)
            await touched(connection, key)
        return new

    def statuses(secret: str) -> list[int]:
        headers = {"authorization": f"Bearer {secret}"}
        urls = [f"{url}/v1/chat/completions" for url in replicas.urls]
        return [httpx.post(url, json=CHAT, headers=headers, timeout=20).status_code for url in urls]

    assert statuses(text) == [200, 200]
    new = within(replicas.database, rotate)
    began = time.monotonic()
    assert statuses(new) == [200, 200]
    assert statuses(text) == [200, 200] or time.monotonic() - began > 1
    ask_until(lambda: statuses(text), [401, 401])
    assert statuses(new) == [200, 200]


def test_worker_processes_count_the_permits_of_a_key_together(tmp_path: Path) -> None:
    database, bedrock, port = f"sqlite:///{tmp_path}/outcrop.db", HoldingBedrock(), free_port()
    text, _ = new_key(database)
    url = f"http://127.0.0.1:{port}"
    limits = {"WEB_CONCURRENCY": "2", "MAX_IN_FLIGHT": "4", "MAX_WAITING": "0"}

    def ask(secret: str) -> int:
        headers = {"authorization": f"Bearer {secret}"}
        body = {**CHAT, "model": "a.b"}
        return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=30).status_code

    with (
        upstream(bedrock.handle) as behind,
        running("app", url=url, PORT=str(port), DATABASE_URL=database, KEY_PEPPER=PEPPER, **{**aws(behind), **limits}),
        ThreadPoolExecutor(12) as pool,
    ):
        try:
            # each worker may be asked, and knows the key after its first request
            calls = [pool.submit(ask, text) for _ in range(8)]
            for _ in range(2):
                assert bedrock.received.acquire(timeout=40)
            wait_until(lambda: sum(call.done() for call in calls) >= 6)
            assert not bedrock.received.acquire(timeout=0.2)
            other = pool.submit(ask, "secret-of-a-developer")
            assert bedrock.received.acquire(timeout=40)
        finally:
            bedrock.may_answer.set()
        assert sorted(call.result() for call in calls) == [200, 200, *[429] * 6]
        assert other.result() == 200
