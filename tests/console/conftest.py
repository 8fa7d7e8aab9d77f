"""Gateways with a console: without a database, and with one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.emulator.protocol import BreakableProtocol
from tests.servers import KEY, KEY_NAME, emulator_app, gateway, serving

ADMIN_KEY = "admin-key-of-32-letters-exactly-x"
OTHER_KEY = "other-key-of-24-letters"
KEYS = f"{KEY_NAME}={KEY},other={OTHER_KEY}"


@pytest.fixture(scope="module")
def upstream_url() -> Iterator[str]:
    with serving(emulator_app(), http=BreakableProtocol) as url:
        yield url


@pytest.fixture(scope="module")
def plain_url(upstream_url: str) -> Iterator[str]:
    """A gateway with keys of callers only, and no database."""
    with gateway(upstream_url, api_keys=KEYS) as url:
        yield url


@contextmanager
def governed(upstream_url: str, observer: object = None, **changes: object) -> Iterator[str]:
    """A gateway with teams, keys and administrators, in a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "database_url": f"sqlite:///{folder}/outcrop.db",
            "key_pepper": "a-pepper-of-32-letters-exactly-x",
            "api_keys": KEYS,
            "admin_keys": f"ops={ADMIN_KEY}",
            **changes,
        }
        with gateway(upstream_url, observer, **settings) as url:
            yield url


@pytest.fixture(scope="module")
def governed_url(upstream_url: str) -> Iterator[str]:
    with governed(upstream_url) as url:
        yield url
