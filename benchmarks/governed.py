"""`python -m benchmarks.governed`: what limits, budgets and the ledger, and quotas of Bedrock cost a chat request.

Four gateways serve on the same core, in turns: one that has nothing of it, one that knows a quota of the model, one whose
key has a budget and limits in PostgreSQL, and one with both. The cheapest rounds count, because disturbances only add
cost. Entries that are posted beside the requests are included. Calls that follow each other slowly show what each waits
longer; 16 callers also wait for each other.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from app.storage.records import Budget, Limit
from app.storage.schema import prepare_schema
from benchmarks import figures
from benchmarks.figures import Load, run_paced, run_requests
from benchmarks.load import Call
from benchmarks.processes import KEY, PRICES, Process, cores, gateway, upstream
from tests.databases import PostgresServer, opened, running_postgres
from tests.governed import PEPPER, add_key, limit, money

ROUNDS, REQUESTS = 12, 600
RATE, PACED_REQUESTS = 100, 40
NOTHING = "nothing"
_QUOTA = '[quotas."bench.complete"]\ntokens_per_minute = 1_000_000_000_000\n'


async def _prepare(url: str) -> str:
    """Set up a database with a key that has limits; return its secret."""
    rules: list[Limit | Budget] = [
        money(10**6, period="month"),
        limit("requests_per_minute", 10**9),
        limit("tokens_per_minute", 10**12),
        limit("max_parallel_requests", 10**6),
    ]
    async with opened(url) as database:
        await prepare_schema(database, migrate=False)
        return (await add_key(database, *rules))[1]


@contextmanager
def governed(
    port: int, core: int, server: PostgresServer | None, *, knows_quota: bool, **more: str
) -> Iterator[tuple[Process, Call]]:
    """Run a gateway; yield it with a chat request.

    server: where its database is; None if it has none. more: further settings.
    """
    settings: dict[str, Any] = {**more, "CONFIG_TOML": PRICES + _QUOTA * knows_quota}
    key = KEY
    with TemporaryDirectory() as folder:
        if server is not None:
            url = asyncio.run(server.create())
            key = asyncio.run(_prepare(url))
            settings |= {"DATABASE_URL": url, "DATA_DIR": folder, "KEY_PEPPER": PEPPER}
        with gateway(port, core, **settings) as process:
            yield process, figures.complete_call(process.port, key=key)


def main() -> None:
    """Print the CPU and the latency of a request with each."""
    measured, other = cores()
    os.sched_setaffinity(0, {other})
    with ExitStack() as stack:
        port, server = stack.enter_context(upstream(other)), stack.enter_context(running_postgres())
        calls = {
            name: stack.enter_context(governed(port, measured, its_server, knows_quota=knows_quota))
            for name, its_server, knows_quota in (
                (NOTHING, None, False),
                ("a quota", None, True),
                ("a database", server, False),
                ("both", server, True),
            )
        }
        loads: dict[str, list[Load]] = {name: [] for name in calls}
        paced: dict[str, list[Load]] = {name: [] for name in calls}
        for number in range(ROUNDS):
            for name in sorted(calls, reverse=bool(number % 2)):
                loads[name].append(run_requests(*calls[name], total=REQUESTS))
                paced[name].append(run_paced(*calls[name], RATE, PACED_REQUESTS))
    cpu = {name: min(load.cpu_us for load in each) for name, each in loads.items()}
    crowded = {name: min(load.latency_ms() for load in each) for name, each in loads.items()}
    alone = {name: min(load.latency_ms() for load in each) for name, each in paced.items()}
    faults = sum(load.faults for each in (*loads.values(), *paced.values()) for load in each)
    print(f"{'':12} CPU of a request  p50 of {RATE} calls a second  p50 of 16 callers")
    for name, us in cpu.items():
        more = f" ({us - cpu[NOTHING]:+.0f})" if name != NOTHING else ""
        print(f"{name:12} {f'{us:.0f} us{more}':16}  {alone[name]:.2f} ms{'':18}  {crowded[name]:.2f} ms")
    print(f"{faults} failed")


if __name__ == "__main__":
    main()
