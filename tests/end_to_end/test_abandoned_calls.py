"""What calls cost whose callers leave: Bedrock bills the answers, so the gateway waits for their tokens."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.storage import tables
from app.storage.schema import prepare_schema
from tests.databases import opened
from tests.end_to_end.conftest import Records
from tests.governed import MODEL, PEPPER, PROMPT, add_key, limit, money
from tests.servers import gateway
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.loopback]

SLOW = f"{MODEL}.slow-3000"
PRICES = "".join(f'[prices."{name}"]\ninput = 0.0\noutput = 1000.0\n' for name in (MODEL, SLOW))


class Deployment:
    """A gateway with a permit for one request of virtual keys, and a key with a budget and one parallel request."""

    def __init__(self, url: str, database: str, records: Records) -> None:
        self.address, self._database, self.records = url.removeprefix("http://"), database, records
        self.secret = asyncio.run(self._add())

    async def _add(self) -> str:
        async with opened(self._database) as database:
            await prepare_schema(database, migrate=False)
            return (await add_key(database, money(1.0), limit("max_parallel_requests", 1)))[1]

    def ask(self, model: str, *, path: str = "/v1/chat/completions", **members: Any) -> http.client.HTTPConnection:
        """Send a call, and return its connection."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": PROMPT}], **members}
        connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer {self.secret}"})
        return connection

    def settled(self, count: int) -> list[Any]:
        """Return what the ledger has of a number of attempts, once they are settled."""
        wait_until(lambda: len(self._entries("settle")) >= count)
        return self._entries("settle")

    def wait_for_hold(self) -> None:
        """Wait until a call is held for, and has been sent."""
        wait_until(lambda: self._entries("hold"))
        time.sleep(0.3)

    def _entries(self, phase: str) -> list[Any]:
        async def read() -> list[Any]:
            async with opened(self._database) as database, database.begin(reads=True) as connection:
                query = select(tables.ledger).where(tables.ledger.c.phase == phase).order_by(tables.ledger.c.at)
                return list(await connection.execute(query))

        return asyncio.run(read())


@pytest.fixture
def deployment(emulator_url: str, tmp_path: Path) -> Iterator[Deployment]:
    records, database = Records(), f"sqlite:///{tmp_path}/outcrop.db"
    asyncio.run(_prepare(database))
    options = {"database_url": database, "key_pepper": PEPPER, "config_toml": PRICES, "max_in_flight": 2}
    with gateway(emulator_url, records, **options) as url:
        yield Deployment(url, database, records)


async def _prepare(url: str) -> None:
    async with opened(url) as database:
        await prepare_schema(database, migrate=False)


def test_a_complete_call_is_charged_what_it_used_and_holds_no_permit(deployment: Deployment) -> None:
    left = deployment.ask(SLOW)
    deployment.wait_for_hold()
    left.close()
    with closing(deployment.ask(MODEL)) as another:
        assert another.getresponse().status == 200
    settled = deployment.settled(2)
    assert [entry.model_served for entry in settled] == [MODEL, SLOW]
    for entry in settled:
        assert (entry.outcome, entry.output_tokens, entry.is_estimated) == ("ok", 2, False)
    assert deployment.records.all[-1].status == 499


def test_a_caller_who_leaves_while_it_waits_for_a_quota_is_charged_nothing(emulator_url: str, tmp_path: Path) -> None:
    records, database = Records(), f"sqlite:///{tmp_path}/outcrop.db"
    asyncio.run(_prepare(database))
    config = f'{PRICES}[quotas."{MODEL}"]\ntokens_per_minute = 200\n'
    options = {"database_url": database, "key_pepper": PEPPER, "config_toml": config, "quota_max_wait": 120.0}
    with gateway(emulator_url, records, **options) as url:
        deployment = Deployment(url, database, records)
        # it takes more than two minutes of the quota
        long = [{"role": "user", "content": "word " * 600}]
        with closing(deployment.ask(MODEL, messages=long)) as first:
            assert first.getresponse().status == 200
        for stream in (False, True):
            waiting = deployment.ask(MODEL, stream=stream)
            time.sleep(0.5)
            waiting.close()
        settled = deployment.settled(3)
    assert [(entry.outcome, entry.cost_nano) for entry in settled[1:]] == [("cancelled", 0)] * 2


def test_a_stream_is_charged_what_it_used_if_its_caller_leaves_before_it_begins(deployment: Deployment) -> None:
    left = deployment.ask(SLOW, stream=True)
    deployment.wait_for_hold()
    left.close()
    (entry,) = deployment.settled(1)
    assert (entry.outcome, entry.output_tokens, entry.is_estimated) == ("ok", 2, False)
