"""Two gateways that share a quota of Bedrock, flooded by one team beside a small one, and what goes wrong meanwhile.

The figures are those of docs/operate/quotas.md.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import postgres
from tests.end_to_end.test_quotas import quota, replica
from tests.quota_callers import Callers, Outcome
from tests.servers import free_port, process

__all__ = ["postgres"]

pytestmark = [pytest.mark.soak, pytest.mark.database, pytest.mark.loopback, pytest.mark.timeout(180)]

PER_MINUTE = 180_000
SECONDS = 40.0
KEYS = {"flood": "flood-key-of-24-letters!", "small": "small-key-of-24-letters!"}


@dataclass
class Run:
    """The Bedrock of a run, its gateways, and what came of it."""

    bedrock: str
    gateways: list[str]
    stops: list[contextlib.ExitStack]
    real: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    served: float = 0.0
    throttled: float = 0.0

    async def flood(self, *also: Any, pause: float = 0.0) -> None:
        """Let all callers call, and do something else meanwhile."""
        counts: dict[str, int] = {}
        callers = Callers(self.gateways, KEYS, lambda: counts.update(httpx.get(self.bedrock).json()))
        await asyncio.gather(callers.run(SECONDS, {"flood": (48, pause), "small": (2, 0.3)}), *also)
        self.outcomes = callers.outcomes
        attempts = counts["calls"] + counts["throttled"]
        self.served = counts["settled"] / (self.real * SECONDS / 60)
        self.throttled = counts["throttled"] / attempts
        small = self.outcomes["small"]
        print(
            f"\nserved {self.served:.1%} throttled {counts['throttled']} of {attempts}; "
            f"small {small.succeeded}/{small.sent} {small.statuses} cut off {small.cut_off} "
            f"reconnected {small.reconnected} median {small.median:.2f} "
            f"longest {max(small.seconds):.2f}; flood {self.outcomes['flood'].succeeded} {self.outcomes['flood'].statuses}"
        )


@contextlib.contextmanager
def running(
    folder: Path, real: int = PER_MINUTE, toml: str = quota(PER_MINUTE), database_url: str = ""
) -> Iterator[Run]:
    with contextlib.ExitStack() as stack:
        port = free_port()
        bedrock = stack.enter_context(process("tests.quota_bedrock", str(port), str(real), path="/", port=port))
        stops = [stack.enter_context(contextlib.ExitStack()) for _ in range(2)]
        gateways = [
            each.enter_context(replica(bedrock, KEYS, toml, folder, number, database_url=database_url))
            for number, each in enumerate(stops)
        ]
        yield Run(bedrock, gateways, stops, real)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_flood_beside_a_small_team(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    url = "" if kind == "sqlite" else asyncio.run(request.getfixturevalue("postgres").create())
    with running(tmp_path, database_url=url) as run:
        asyncio.run(run.flood())
    small = run.outcomes["small"]
    assert run.served >= 0.88
    assert run.throttled <= 0.01
    assert (small.statuses, small.cut_off) == ({}, 0)
    assert small.median < 1.5


def test_outputs_become_five_times_as_long(tmp_path: Path) -> None:
    with running(tmp_path) as run:

        async def surprise() -> None:
            await asyncio.sleep(10)
            async with httpx.AsyncClient() as client:
                await client.put(run.bedrock, content=b"5")

        asyncio.run(run.flood(surprise()))
    assert run.served >= 0.8
    assert run.throttled <= 0.01
    # its calls take as much as its part of the quota then, so they wait too
    assert run.outcomes["small"].statuses == {}
    assert run.outcomes["small"].median < 2.5


def test_half_of_the_quota_is_there(tmp_path: Path) -> None:
    with running(tmp_path, PER_MINUTE // 2) as run:
        asyncio.run(run.flood())
    assert run.served >= 0.88
    assert run.throttled <= 0.08
    assert run.outcomes["small"].succeeded >= 0.8 * run.outcomes["small"].sent


def test_bursts(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        asyncio.run(run.flood(pause=5.0))
    assert run.throttled <= 0.01
    assert (run.outcomes["small"].statuses, run.outcomes["small"].cut_off) == ({}, 0)
    assert run.outcomes["small"].median < 1.5


def test_a_replica_is_killed_and_starts_again(tmp_path: Path) -> None:
    with running(tmp_path) as run:

        async def restart() -> None:
            await asyncio.sleep(12)
            await asyncio.to_thread(run.stops[1].close)
            await asyncio.sleep(10)
            port = int(run.gateways[1].rpartition(":")[2])
            again = replica(run.bedrock, KEYS, quota(PER_MINUTE), tmp_path, 1, port=port)
            await asyncio.to_thread(run.stops[1].enter_context, again)

        asyncio.run(run.flood(restart()))
    assert run.served >= 0.75
    assert run.throttled <= 0.01
    small = run.outcomes["small"]
    assert (small.statuses, small.cut_off) == ({}, 0), "an SDK tries again when it gets no connection"
    assert small.median < 1.5


def test_without_the_quotas_of_outcrop(tmp_path: Path) -> None:
    """What the others are compared with."""
    with running(tmp_path, toml="") as run:
        asyncio.run(run.flood())
    assert run.throttled > 0.5
