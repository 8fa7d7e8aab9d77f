"""`python -m benchmarks.quota_cost`: what a quota with room for all calls costs a chat request.

First the attempt that waits for quotas is called in a loop, with an attempt that answers at once and without it. Then two
applications run in this process, and get a few requests in turns: one without a quota, and one that knows a quota of the
model; and the same with a database, from which the quota is leased. The CPU of the thread counts, and of the rounds the
cheapest twentieth, because disturbances only add cost.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from app.adaptation.response_mapping import NO_MAPPING
from app.converse.usage import Usage
from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from app.execution.attempt import Attempt, Call, Candidate, Result
from app.execution.operations.converse import ConverseOperation
from app.execution.quota_attempt import QueueSettings, QuotaAttempt
from app.execution.request_context import RequestContext
from app.governance.identity.caller import Caller
from app.governance.quotas.meters import LocalMeters
from app.governance.quotas.pools import QuotaLimits, Quotas
from app.models.capabilities import Capabilities
from app.models.ids import parse_model_id
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.routing.failover import AttemptResult
from app.routing.planner import Target
from app.server.request_head import RequestHead
from app.storage.schema import prepare_schema
from benchmarks.figures import chat
from benchmarks.processes import KEY, MODEL, cores, upstream
from benchmarks.request_path import request
from tests.databases import opened, running_postgres
from tests.governed import PEPPER

ROUNDS, REQUESTS, WARM_UP, LOOPED = 600, 4, 100, 500
_QUOTA = f'[quotas."{MODEL}"]\ntokens_per_minute = 1_000_000_000_000\n'
_CHEAPEST = 20
T = TypeVar("T")


@contextmanager
def _database(*, is_used: bool) -> Iterator[dict[str, str]]:
    if not is_used:
        yield {}
        return

    async def prepare(url: str) -> None:
        async with opened(url) as database:
            await prepare_schema(database, migrate=False)

    with running_postgres() as server:
        url = asyncio.run(server.create())
        asyncio.run(prepare(url))
        yield {"database_url": url, "key_pepper": PEPPER}


@asynccontextmanager
async def _application(port: int, settings: Mapping[str, str]) -> AsyncIterator[Any]:
    from app.config.settings import Settings
    from app.main import create_app

    members: dict[str, Any] = {
        "aws_region": "us-east-1",
        "aws_endpoint_url": f"http://127.0.0.1:{port}",
        "bedrock_model_id": MODEL,
        "api_keys": f"bench={KEY}",
        **settings,
    }
    application: Any = create_app(Settings(**members))
    async with application.router.lifespan_context(application):
        yield application


async def _compare(port: int, settings: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Return the microseconds of CPU of a chat request, by the names of the settings."""
    body = json.dumps({"model": MODEL, "messages": chat(), "max_tokens": 100}).encode()
    async with AsyncExitStack() as stack:
        applications = {
            name: await stack.enter_async_context(_application(port, each)) for name, each in settings.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in applications}
        for application in applications.values():
            for _ in range(WARM_UP):
                if await request(application, body) != 200:
                    raise RuntimeError("a request failed")
        for number in range(ROUNDS):
            for name in sorted(applications, reverse=bool(number % 2)):
                began = time.thread_time()
                for _ in range(REQUESTS):
                    await request(applications[name], body)
                costs[name].append((time.thread_time() - began) / REQUESTS * 1e6)
    return {name: sorted(each)[ROUNDS // _CHEAPEST] for name, each in costs.items()}


def measured(*, with_database: bool) -> dict[str, float]:
    """Return the microseconds of CPU of a chat request, `without` and `with` a quota."""
    with _prepared(with_database) as (port, settings):
        return asyncio.run(_compare(port, settings))


@contextmanager
def _prepared(with_database: bool) -> Iterator[tuple[int, dict[str, dict[str, str]]]]:
    """Run the upstream, and a database if it is wanted; yield the port and the settings of both applications."""
    core, other = cores()
    with (
        TemporaryDirectory() as folder,
        upstream(other) as port,
        _database(is_used=with_database) as database,
    ):
        os.sched_setaffinity(0, {core})
        settings: dict[str, dict[str, str]] = {"without": {}, "with": {"config_toml": _QUOTA}}
        for name, each in settings.items():
            Path(folder, name).mkdir()
            each.update({**database, "data_dir": f"{folder}/{name}"} if database else {})
        yield port, settings
        os.sched_setaffinity(0, {core, other})


async def _answer(call: Call[T], candidate: Candidate[T]) -> Result[T]:
    """Build the request, as an attempt does, and answer at once."""
    del call
    if candidate.request is None:
        candidate.operation.build(candidate.model)
    return AttemptResult(candidate, usage=Usage(input=200, output=40))


async def _alone() -> float:
    """Return the microseconds that waiting for a quota adds to an attempt."""
    model = parse_model_id(MODEL)
    target = Target(model, model, Capabilities())
    quotas = Quotas(
        {(MODEL, ""): QuotaLimits(10**12)}, "", lambda _, meters: LocalMeters(meters, time.monotonic), time.monotonic
    )
    operation: ConverseOperation[None] = ConverseOperation(
        body=b" " * 1600, mapping=NO_MAPPING, make=lambda _: None, max_tokens=300
    )
    head, record = RequestHead("POST", "/", "", {}), RequestRecord("", "POST")
    context = RequestContext(head, {}, b"", Caller("bench"), Deadline.after(60), record)
    call: Call[None] = Call(context, [target], lambda _: operation)
    candidate = Candidate(key="", target=target, operation=operation, model=model)
    attempts: tuple[Attempt, ...] = (_answer, QuotaAttempt(_answer, quotas, QueueSettings()))
    costs: tuple[list[float], ...] = ([], [])
    for _ in range(100):
        for attempt, times in zip(attempts, costs, strict=True):
            began = time.thread_time()
            for _ in range(LOOPED):
                await attempt(call, candidate)
            times.append((time.thread_time() - began) / LOOPED * 1e6)
    without, with_quota = (sorted(times)[len(times) // _CHEAPEST] for times in costs)
    return with_quota - without


def main() -> None:
    """Print the CPU of a request with and without a quota."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    print(f"alone, in a loop: {asyncio.run(_alone()):.1f} us", flush=True)
    for title, with_database in (("in one process", False), ("leased from a database", True)):
        cpu = measured(with_database=with_database)
        more = cpu["with"] - cpu["without"]
        print(
            f"{title}: {cpu['without']:.1f} us without, {cpu['with']:.1f} us with a quota: {more:.1f} more", flush=True
        )


if __name__ == "__main__":
    main()
