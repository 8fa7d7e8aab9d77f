"""The admin API when something fails: wrong keys, a database that stops, and deployments without a database."""

import asyncio
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.admin.api.conftest import ADMIN_KEY, settings_of
from tests.databases import PostgresServer, running_postgres
from tests.servers import KEY, NOWHERE, gateway, upstream
from tests.waiting import wait_until

pytestmark = pytest.mark.loopback
HEADERS = {"authorization": f"Bearer {ADMIN_KEY}"}


def test_without_the_database_it_answers_503_soon_and_recovers(tmp_path: Path) -> None:
    with running_postgres() as server:
        url = asyncio.run(server.create())
        with (
            gateway(NOWHERE, **settings_of(url, tmp_path)) as base,
            httpx.Client(base_url=f"{base}/admin/v1", headers=HEADERS, timeout=20) as admin,
        ):
            assert admin.post("/teams", json={"name": "before"}).status_code == 201
            server.stop()
            for send in (
                lambda: admin.get("/teams"),
                lambda: admin.get("/usage"),
                lambda: admin.post("/teams", json={"name": "meanwhile"}),
            ):
                began = time.monotonic()
                answer = send()
                assert answer.status_code == 503
                assert answer.json()["error"]["type"] == "database_unavailable"
                assert answer.headers["retry-after"] == "1"
                assert time.monotonic() - began < 15
            assert httpx.get(f"{base}/health", timeout=20).status_code == 200
            server.start()
            assert admin.post("/teams", json={"name": "afterwards"}).status_code == 201
            assert [team["name"] for team in admin.get("/teams").json()["data"]] == ["before", "afterwards"]


@pytest.mark.timed
def test_a_database_that_stops_answering_is_not_waited_for(tmp_path: Path, postgres: PostgresServer) -> None:
    """It accepts connections and answers nothing, as a machine that hangs."""
    url, may_answer = asyncio.run(postgres.create()), threading.Event()
    may_answer.set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            while not may_answer.is_set():
                await asyncio.sleep(0.01)
            writer.write(part)
            await writer.drain()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        database = await asyncio.open_unix_connection(f"{postgres.socket}/.s.PGSQL.5432")
        await asyncio.wait(
            [asyncio.ensure_future(pipe(reader, database[1])), asyncio.ensure_future(pipe(database[0], writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        database[1].close()

    with upstream(handle) as proxy:
        through_proxy = f"postgresql://postgres@{urlsplit(proxy).netloc}{urlsplit(url).path}"
        with (
            gateway(NOWHERE, **settings_of(through_proxy, tmp_path)) as base,
            httpx.Client(base_url=f"{base}/admin/v1", headers=HEADERS, timeout=20) as admin,
        ):
            assert admin.post("/teams", json={"name": "before"}).status_code == 201
            may_answer.clear()
            for path in ("/teams", "/usage"):
                began = time.monotonic()
                assert admin.get(path).status_code == 503
                assert time.monotonic() - began < 2
            may_answer.set()
            deadline = time.monotonic() + 30
            while admin.get("/teams").status_code != 200:
                assert time.monotonic() < deadline


def test_wrong_keys_are_throttled_by_address_with_those_of_callers(tmp_path: Path) -> None:
    with gateway(NOWHERE, **settings_of(f"sqlite:///{tmp_path}/outcrop.db", tmp_path)) as base:
        for _ in range(12):
            assert httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": "guess"}).status_code == 401
        # one more is answered each second
        wait_until(lambda: httpx.get(f"{base}/v1/models", headers={"x-api-key": "guess"}).status_code == 429)
        refused = httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": "guess"})
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{base}/admin/v1/teams", headers=HEADERS).status_code == 200


def test_without_a_database_there_is_no_admin_api() -> None:
    with gateway(NOWHERE) as base:
        assert httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": KEY}).status_code == 404
