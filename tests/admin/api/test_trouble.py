"""The admin API when something fails: wrong keys, a database that stops, and deployments without a database."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from tests.admin.api.conftest import ADMIN_KEY, settings_of
from tests.databases import running_postgres
from tests.servers import KEY, NOWHERE, gateway

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
                assert time.monotonic() - began < 2
            assert httpx.get(f"{base}/health", timeout=5).status_code == 200
            server.start()
            assert admin.post("/teams", json={"name": "afterwards"}).status_code == 201
            assert [team["name"] for team in admin.get("/teams").json()["data"]] == ["before", "afterwards"]


def test_wrong_keys_are_throttled_by_address_with_those_of_callers(tmp_path: Path) -> None:
    with gateway(NOWHERE, **settings_of(f"sqlite:///{tmp_path}/outcrop.db", tmp_path)) as base:
        for _ in range(12):
            assert httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": "guess"}).status_code == 401
        answers = [httpx.get(f"{base}/v1/models", headers={"x-api-key": "guess"}) for _ in range(12)]
        assert answers[-1].status_code == 429
        refused = httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": "guess"})
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{base}/admin/v1/teams", headers=HEADERS).status_code == 200


def test_without_a_database_there_is_no_admin_api() -> None:
    with gateway(NOWHERE) as base:
        assert httpx.get(f"{base}/admin/v1/teams", headers={"x-api-key": KEY}).status_code == 404
