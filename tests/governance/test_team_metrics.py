"""Metrics by team: what is counted, the names of teams, and that the number of labels is limited."""

import asyncio
import tempfile

import pytest

from app import errors
from app.governance.maintenance.upkeep import Upkeep
from app.observability.exposition import render
from app.observability.metrics import Metrics
from app.observability.team_metrics import TeamMetrics
from app.storage.database import Database
from app.storage.records import Team
from app.storage.repository import teams
from tests.execution.test_governed_attempt import COST, MODEL, gateway_of, limit
from tests.observability.test_metrics import samples, value


async def test_what_a_team_spends_is_counted_when_it_is_posted() -> None:
    metrics = Metrics()
    with tempfile.TemporaryDirectory() as folder:
        async with gateway_of(folder, teams=TeamMetrics(metrics, 5)) as gateway:
            await gateway.with_rules(limit("requests_per_minute", 1))
            await gateway.call()
            with pytest.raises(errors.LimitReached) as caught:
                await gateway.call()
            # posted by the task of the ledger
            async with asyncio.timeout(30):
                while not value(metrics, "outcrop_team_attempts_total", team="t", outcome="ok"):
                    await asyncio.sleep(0.05)
    assert caught.value.kind == "limit_reached"
    assert value(metrics, "outcrop_team_attempts_total", team="t", outcome="ok") == 1
    assert value(metrics, "outcrop_team_refused_total", team="t", kind="limit_reached") == 1
    assert value(metrics, "outcrop_team_tokens_total", team="t", type="input") == 3
    assert value(metrics, "outcrop_team_tokens_total", team="t", type="output") == 4
    assert value(metrics, "outcrop_team_cost_usd_total", team="t") == pytest.approx(COST / 1e9)
    assert MODEL not in render(metrics.all).decode()


def test_the_first_teams_get_a_label_and_others_share_one() -> None:
    metrics = Metrics()
    counted = TeamMetrics(metrics, 2)
    for number in range(1000):
        counted.note_posted(f"t{number}", "ok", {"input": 1, "output": 0}, 0)
        counted.note_refused(f"t{number}", "budget_spent")
    counted.note_posted("", "ok", {}, 5)
    found = {dict(labels)["team"] for (name, labels) in samples(metrics) if name.startswith("outcrop_team_")}
    assert found == {"t0", "t1", "other", "none"}
    assert value(metrics, "outcrop_team_attempts_total", team="other", outcome="ok") == 998
    assert value(metrics, "outcrop_team_tokens_total", team="t0", type="output") == 0


async def test_the_names_of_teams_are_read_beside_the_requests(database: Database) -> None:
    async with database.begin() as connection:
        await teams.add(connection, Team(id="t1", name="research"))
        await teams.add(connection, Team(id="t2", name="unknown"))
    metrics = Metrics()
    counted = TeamMetrics(metrics, 5)
    counted.note_posted("t1", "ok", {}, 0)
    upkeep = Upkeep(database, 400, team_metrics=counted, first=0.01)
    upkeep.start()
    try:
        async with asyncio.timeout(30):
            while not counted.names:
                await asyncio.sleep(0.01)
    finally:
        await upkeep.close()
    assert counted.names == {"t1": "research"}
    assert samples(metrics)["outcrop_team_info", (("name", "research"), ("team", "t1"))] == 1
