"""The console while its database is down: it says so soon, lets nobody in, and goes on afterwards."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.console.conftest import ADMIN_KEY, KEYS
from tests.console.visitor import Visitor, signed_in
from tests.databases import running_postgres
from tests.servers import gateway
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.loopback]


@contextmanager
def console_of(upstream_url: str, folder: Path, database_url: str) -> Iterator[str]:
    settings = {
        "database_url": database_url,
        "data_dir": folder,
        "key_pepper": "a-pepper-of-32-letters-exactly-x",
        "api_keys": KEYS,
        "admin_keys": f"ops={ADMIN_KEY}",
    }
    with gateway(upstream_url, **settings) as url:
        yield url


def test_pages_say_that_the_database_does_not_answer(upstream_url: str, tmp_path: Path) -> None:
    with running_postgres() as server:
        database_url = asyncio.run(server.create())
        name = urlsplit(database_url).path.strip("/")
        with console_of(upstream_url, tmp_path, database_url) as url, signed_in(url, ADMIN_KEY) as admin:
            server.stop()
            for page in ("", "/keys", "/usage"):
                began = time.monotonic()
                answer = admin.get(page)
                assert answer.status_code == 503
                assert "The database does not answer" in answer.text
                assert name not in answer.text
                assert time.monotonic() - began < 15
            answer = admin.client.get("/console/call/v1/models", headers={"x-csrf-token": "x"})
            assert answer.status_code == 503
            server.start()
            assert admin.get("/keys").status_code == 200


@pytest.mark.timed
def test_pages_do_not_wait_for_a_database_that_hangs(upstream_url: str, tmp_path: Path) -> None:
    """It has open connections, and answers nothing."""
    with running_postgres() as server:
        database_url = asyncio.run(server.create())
        with console_of(upstream_url, tmp_path, database_url) as url, signed_in(url, ADMIN_KEY) as admin:
            answer = httpx.post(
                f"{url}/admin/v1/keys",
                headers={"x-api-key": ADMIN_KEY},
                json={"name": "caller", "team_id": create_team(url)},
            )
            secret, token = answer.json()["secret"], admin.token()
            with signed_in(url, secret) as caller, Visitor(url) as other:
                of_form = other.token()
                with server.hanging():
                    for send in (
                        lambda: admin.get("/keys"),
                        lambda: caller.get("/usage"),
                        lambda: admin.post("/teams/new", token, name="meanwhile"),
                        lambda: other.post("/sign-in", of_form, admin_key=secret),
                        lambda: admin.post("/sign-out", token),
                    ):
                        began = time.monotonic()
                        answer = send()
                        assert (answer.status_code, "The database does not answer" in answer.text) == (503, True)
                        assert time.monotonic() - began < 2
                wait_until(lambda: "<title>Usage</title>" in caller.get("/usage").text)


def create_team(url: str) -> str:
    answer = httpx.post(f"{url}/admin/v1/teams", headers={"x-api-key": ADMIN_KEY}, json={"name": "team"})
    return str(answer.json()["id"])
