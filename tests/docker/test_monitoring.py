"""The dashboard and the alerts in docker/monitoring."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from app.observability.exposition import families
from app.observability.metrics import Metrics
from app.observability.observer import FAILURES
from app.observability.team_metrics import TeamMetrics
from app.server import worker_peers

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker/monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def metrics() -> dict[str, set[str]]:
    """Return the names of all metrics, each with its labels."""
    made = Metrics()
    made.watch("in_flight", "Now.", float)
    made.watch("waiting", "Now.", float)
    made.watch("ledger_unposted", "Now.", float)
    made.watch("database_reachable", "Now.", float)
    made.watch_breakers(dict)
    TeamMetrics(made, 1)
    made.watch_quotas(dict, dict)
    found = {name: {"job", "instance"} for name in ("up", worker_peers._PROCESSES.split()[2])}
    of_process = ProcessCollector(registry=CollectorRegistry()).collect()
    for family in (*families(made.all), *of_process):
        labels = {*getattr(family, "_labelnames", ()), "job", "instance"}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        for suffix in suffixes:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    found["outcrop_breaker_state"] |= {"target"}
    found["outcrop_team_info"] |= {"team", "name"}
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_uses_existing_metrics_and_labels(expression: str) -> None:
    known = metrics()
    used = set(re.findall(r"\b(?:outcrop|process)_[a-z_]+\b|\bup\b", expression))
    assert used
    assert used <= set(known)
    labels = set(re.findall(r"[{,]\s*([a-z_]+)(?:=~|!~|=|!=)", expression))
    for group in re.findall(r"by \(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
    assert labels <= set().union(*(known[name] for name in used))


def test_each_failure_of_bedrock_or_the_gateway_raises_the_alert_of_errors() -> None:
    (expression,) = [rule["expr"] for rule in RULES if rule["alert"] == "OutcropErrors"]
    kinds = re.findall(r'kind=~"([^"]*)"', expression)
    assert len(kinds) == 2
    assert {kind for kind in FAILURES if all(re.fullmatch(each, kind) for each in kinds)} == FAILURES


def test_each_alert_is_in_the_runbook() -> None:
    runbook = (ROOT / "docs/operate/runbook.md").read_text().partition("## Alarms")[2]
    entries = set(re.findall(r"`(Outcrop[A-Za-z]+)`", runbook))
    assert entries == {rule["alert"] for rule in RULES}


def test_each_alert_has_a_test() -> None:
    tests = (FOLDER / "alerts_test.yml").read_text()
    assert {rule["alert"] for rule in RULES} == set(re.findall(r"alertname: (\w+)", tests))


def test_panels_have_distinct_ids_and_positions() -> None:
    positions = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
    assert len(positions) == len(set(positions)) == len({panel["id"] for panel in PANELS})
