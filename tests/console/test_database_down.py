"""The console while its database is down: it says so soon, lets nobody in, and goes on afterwards."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.console.conftest import ADMIN_KEY, KEYS
from tests.console.visitor import signed_in
from tests.databases import running_postgres
from tests.servers import gateway

pytestmark = [pytest.mark.database, pytest.mark.loopback]


def test_pages_say_that_the_database_does_not_answer(upstream_url: str, tmp_path: Path) -> None:
    with running_postgres() as server:
        database_url = asyncio.run(server.create())
        name = urlsplit(database_url).path.strip("/")
        settings = {
            "database_url": database_url,
            "data_dir": tmp_path,
            "key_pepper": "a-pepper-of-32-letters-exactly-x",
            "api_keys": KEYS,
            "admin_keys": f"ops={ADMIN_KEY}",
        }
        with gateway(upstream_url, **settings) as url, signed_in(url, ADMIN_KEY) as admin:
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
