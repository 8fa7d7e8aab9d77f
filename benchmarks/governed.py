"""`python -m benchmarks.governed`: what limits, budgets and the ledger cost a chat request, on PostgreSQL.

Two gateways serve on the same core, in turns: one without a database, and one whose key has a budget and limits. The
cheapest rounds count, because disturbances only add cost. Entries that are posted beside the requests are included.
Calls that follow each other slowly show what each waits longer; 16 callers also wait for each other.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from app.storage.records import Budget, Limit
from app.storage.schema import prepare_schema
from benchmarks import figures
from benchmarks.figures import Load, run_paced, run_requests
from benchmarks.processes import Process, cores, gateway, upstream
from tests.databases import opened, running_postgres
from tests.governed import PEPPER, add_key, limit, money

ROUNDS, REQUESTS = 12, 600
RATE, PACED_REQUESTS = 100, 40
_PRICES = '[prices."bench.complete"]\ninput = 1.0\noutput = 5.0\n'


@contextmanager
def governed(port: int, core: int) -> Iterator[tuple[Process, str]]:
    """Run a gateway with a database; yield it, and the secret of a key."""
    rules: list[Limit | Budget] = [
        money(10**6, period="month"),
        limit("requests_per_minute", 10**9),
        limit("tokens_per_minute", 10**12),
        limit("max_parallel_requests", 10**6),
    ]

    async def prepare(url: str) -> str:
        async with opened(url) as database:
            await prepare_schema(database, migrate=False)
            return (await add_key(database, *rules))[1]

    with running_postgres() as server, TemporaryDirectory() as folder:
        url = asyncio.run(server.create())
        secret = asyncio.run(prepare(url))
        settings: dict[str, Any] = {
            "DATABASE_URL": url,
            "DATA_DIR": folder,
            "KEY_PEPPER": PEPPER,
            "CONFIG_TOML": _PRICES,
        }
        with gateway(port, core, **settings) as process:
            yield process, secret


def main() -> None:
    """Print the CPU and the latency of a request on both."""
    measured, other = cores()
    os.sched_setaffinity(0, {other})
    with (
        upstream(other) as port,
        gateway(port, measured, CONFIG_TOML=_PRICES) as plain,
        governed(port, measured) as (with_database, secret),
    ):
        calls = {
            "without": (plain, figures.complete_call(plain.port)),
            "with": (with_database, figures.complete_call(with_database.port, key=secret)),
        }
        loads: dict[str, list[Load]] = {name: [] for name in calls}
        paced: dict[str, list[Load]] = {name: [] for name in calls}
        for number in range(ROUNDS):
            for name in sorted(calls, reverse=bool(number % 2)):
                loads[name].append(run_requests(*calls[name], total=REQUESTS))
                paced[name].append(run_paced(*calls[name], RATE, PACED_REQUESTS))
    cpu = {name: min(load.cpu_us for load in each) for name, each in loads.items()}
    latency = {name: min(load.latency_ms() for load in each) for name, each in loads.items()}
    alone = {name: min(load.latency_ms() for load in each) for name, each in paced.items()}
    faults = sum(load.faults for each in (*loads.values(), *paced.values()) for load in each)
    print(f"CPU of a chat request: {cpu['without']:.0f} us without, {cpu['with']:.0f} us with a database")
    print(f"p50 of {RATE} calls a second: {alone['without']:.2f} ms without, {alone['with']:.2f} ms with a database")
    print(f"p50 of 16 callers: {latency['without']:.2f} ms without, {latency['with']:.2f} ms with a database")
    print(f"{faults} failed")


if __name__ == "__main__":
    main()
