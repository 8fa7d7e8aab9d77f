"""Gateways as processes over one database, with teams, keys, limits and budgets in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Row, select

from app.governance.identity.key_secrets import new_secret
from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget, Key, Limit, Team
from app.storage.repository import budgets, key_secrets, keys, limits, teams
from app.wire import json
from tests.programs import ROOT, aws, environment
from tests.servers import free_port

PEPPER = "a pepper of the tests with 32 characters"
MODEL = "scripted.echo-v1:0"
NANO = 10**9
# nano-dollars of a call: two tokens of its answer at the price below
COST = 2 * 1_000_000
# USD per million tokens. An answer is cut at the length that is requested, so a call costs what was held for it
SLOW, SLOWER = f"{MODEL}.slow-30", f"{MODEL}.slow-600"
PRICES = "".join(f'[prices."{name}"]\ninput = 0.0\noutput = 1000.0\n' for name in (MODEL, SLOW, SLOWER))
# of a machine that runs other tests beside these
_START_SECONDS = 60
PROMPT = "a text that is longer than the answer may be"


async def add_key(database: Database, *rules: Limit | Budget, **changes: Any) -> tuple[Key, str]:
    """Add a team with one key, whose limits and budgets these become. Return the key and its secret."""
    team = Team(name=f"team {os.urandom(4).hex()}")
    key = Key(name="a key", team_id=team.id, **changes)
    secret, stored = new_secret(key.id, PEPPER.encode())
    async with database.begin() as connection:
        await teams.add(connection, team)
        await keys.add(connection, key)
        await key_secrets.add(connection, stored)
        for rule in rules:
            owned: Any = replace(rule, scope_id=key.id)
            await (limits if isinstance(rule, Limit) else budgets).add(connection, owned)
    return key, secret


def money(dollars: float, **changes: Any) -> Budget:
    return Budget(**{"scope": "key", "scope_id": "", "period": "total", "amount_nano": int(dollars * NANO), **changes})


def limit(kind: Any, capacity: int, **changes: Any) -> Limit:
    return Limit(**{"scope": "key", "scope_id": "", "kind": kind, "capacity": capacity, **changes})


async def ledger_of(database: Database, key: Key, phase: str = "settle") -> Sequence[Row[Any]]:
    async with database.begin(reads=True) as connection:
        table = tables.ledger
        return (await connection.execute(select(table).where(table.c.key_id == key.id, table.c.phase == phase))).all()


async def balance_of(database: Database, key: Key) -> tuple[int, int]:
    """Return what is settled and what is leased of the one budget of a key."""
    async with database.begin(reads=True) as connection:
        owned = select(tables.budgets.c.id).where(tables.budgets.c.scope_id == key.id)
        query = select(tables.balances).where(tables.balances.c.source_id.in_(owned))
        row = (await connection.execute(query)).one()
        return row.settled, row.leased


async def until_posted(database: Database, key: Key, count: int, seconds: float = 30) -> None:
    """Wait until the ledger has as many settlements of a key, and nothing is leased any more."""
    deadline = time.monotonic() + seconds
    while len(await ledger_of(database, key)) < count or (await balance_of(database, key))[1]:
        assert time.monotonic() < deadline, "settlements are missing, or capacity stays leased"
        await asyncio.sleep(0.05)


def wait_for_start(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            httpx.get(url, timeout=20)
        except httpx.TransportError:
            assert process.poll() is None, "the process has ended"
            assert time.monotonic() < deadline, "the process did not start"
            time.sleep(0.02)
        else:
            return


class Replica:
    """A gateway as a process. log: of its lines."""

    def __init__(self, upstream: str, folder: Path, **settings: str) -> None:
        self._upstream, self._settings, self.folder = upstream, settings, folder
        self.log = folder / f"log-{os.urandom(4).hex()}"
        self.url = ""

    def start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        variables = {
            **aws(self._upstream),
            "PORT": str(port),
            "KEY_PEPPER": PEPPER,
            "DATA_DIR": str(self.folder),
            "CONFIG_TOML": PRICES,
            "LOG_FORMAT": "json",
            "MAX_IN_FLIGHT": "2000",
            **self._settings,
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app"], env=environment(**variables), cwd=ROOT, stdout=output, stderr=output
            )

    def wait(self) -> None:
        wait_for_start(f"{self.url}/health", self.process)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]


@contextlib.contextmanager
def replicas(count: int, upstream: str, database_url: str, **settings: str) -> Iterator[list[Replica]]:
    """Run gateways, each with a folder of its own."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            found.append(Replica(upstream, Path(folder), DATABASE_URL=database_url, **settings))
            found[-1].start()
            stack.callback(found[-1].stop)
        for each in found:
            each.wait()
        yield found


class Reply(Struct, frozen=True):
    """What a call got. status: 0 if the connection was lost. seconds: that it took."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    seconds: float = 0.0

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


async def ask(url: str, secret: str, *, model: str = MODEL, max_tokens: int = 2, prompt: str = PROMPT) -> Reply:
    """Make a call of the chat API on a connection of its own."""
    body = json.dumps({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": prompt}]})
    parts, started = urlsplit(url), asyncio.get_running_loop().time()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n"
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            received = await reader.read(-1)
        finally:
            writer.close()
    except OSError:
        received = b""
    top, _, rest = received.partition(b"\r\n\r\n")
    if not rest:
        return Reply(0)
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), rest, headers, asyncio.get_running_loop().time() - started)


async def ask_all(found: Sequence[Replica], secret: str, count: int, **changes: Any) -> list[Reply]:
    """Make as many calls at once, on all replicas in turn."""
    return await asyncio.gather(*[ask(found[number % len(found)].url, secret, **changes) for number in range(count)])


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "app.emulator", "--scripted", "--port", str(port)],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_start(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(60)
