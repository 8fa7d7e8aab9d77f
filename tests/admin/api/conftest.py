"""Databases, and gateways with the admin API, for the tests of this folder."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.databases import PostgresServer, database, database_url, empty_database, postgres
from tests.servers import KEY, KEY_NAME, NOWHERE, gateway

__all__ = ["database", "database_url", "empty_database", "postgres"]

ADMIN_KEY = "key-of-an-administrator"
PEPPER = secrets.token_hex(32)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def admin_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a gateway with an empty database, of each kind."""
    import asyncio

    folder = tmp_path_factory.mktemp("data")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/outcrop.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = asyncio.run(server.create())
    return settings_of(url, folder)


def settings_of(url: str, folder: Path) -> dict[str, str]:
    # so that tests can fail to authenticate from addresses of their own
    proxies = {"forwarded_allow_ips": "127.0.0.1"}
    keys = {"admin_keys": f"ops={ADMIN_KEY},second=another-administrator", "api_keys": f"{KEY_NAME}={KEY}"}
    return {"database_url": url, "data_dir": str(folder), "key_pepper": PEPPER, **keys, **proxies}


@pytest.fixture(scope="module")
def base(admin_settings: dict[str, str]) -> Iterator[str]:
    """The address of a running gateway."""
    with gateway(NOWHERE, **admin_settings) as url:
        yield url


@pytest.fixture
def admin(base: str) -> Iterator[httpx.Client]:
    """A client of the admin API."""
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=f"{base}/admin/v1", headers=headers, timeout=20) as client:
        yield client
