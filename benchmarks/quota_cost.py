"""`python -m benchmarks.quota_cost`: what a quota with room for all calls costs a chat request.

Two gateways serve on the same core, in turns: one without a quota, and one that knows a quota of the model. Then the
same with a database, from which the quota is leased. The cheapest rounds count, because disturbances only add cost.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from app.storage.schema import prepare_schema
from benchmarks import figures
from benchmarks.figures import run_requests
from benchmarks.processes import Process, cores, gateway, upstream
from tests.databases import opened, running_postgres
from tests.governed import PEPPER

ROUNDS, REQUESTS = 12, 500
_QUOTA = '[quotas."bench.complete"]\ntokens_per_minute = 1_000_000_000_000\n'


@contextmanager
def _pair(port: int, core: int, with_database: bool) -> Iterator[dict[str, Process]]:
    """Run a gateway without a quota, and one with it."""
    with TemporaryDirectory() as folder, _database(folder, with_database) as settings:
        more = [{**settings, "DATA_DIR": f"{folder}/{name}"} if settings else {} for name in ("without", "with")]
        with gateway(port, core, **more[0]) as plain, gateway(port, core, CONFIG_TOML=_QUOTA, **more[1]) as limited:
            yield {"without": plain, "with": limited}


@contextmanager
def _database(folder: str, is_used: bool) -> Iterator[Mapping[str, Any]]:
    if not is_used:
        yield {}
        return

    async def prepare(url: str) -> None:
        async with opened(url) as database:
            await prepare_schema(database, migrate=False)

    with running_postgres() as server:
        url = asyncio.run(server.create())
        asyncio.run(prepare(url))
        for name in ("without", "with"):
            os.mkdir(f"{folder}/{name}")  # noqa: PTH102
        yield {"DATABASE_URL": url, "KEY_PEPPER": PEPPER}


def measured(with_database: bool) -> dict[str, float]:
    """Return the microseconds of CPU of a chat request, without and with a quota."""
    core, other = cores()
    os.sched_setaffinity(0, {other})
    with upstream(other) as port, _pair(port, core, with_database) as processes:
        cheapest = dict.fromkeys(processes, float("inf"))
        for number in range(ROUNDS):
            for name in sorted(processes, reverse=bool(number % 2)):
                process = processes[name]
                load = run_requests(process, figures.complete_call(process.port), total=REQUESTS)
                if load.faults:
                    raise RuntimeError(f"{load.faults} requests failed")
                cheapest[name] = min(cheapest[name], load.cpu_us)
    os.sched_setaffinity(0, {core, other})
    return cheapest


def main() -> None:
    """Print the CPU of a request with and without a quota."""
    for title, with_database in (("in one process", False), ("leased from a database", True)):
        cpu = measured(with_database)
        more = cpu["with"] - cpu["without"]
        print(
            f"{title}: {cpu['without']:.1f} us without, {cpu['with']:.1f} us with a quota: {more:.1f} us more",
            flush=True,
        )


if __name__ == "__main__":
    main()
