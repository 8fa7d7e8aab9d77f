"""The simulation of quotas: what its command prints, for made-up traffic and for an export of the ledger."""

import json
from pathlib import Path

import pytest

from benchmarks.quota import main
from benchmarks.quota_simulation import FLOOD, Scenario, Team, simulate
from benchmarks.quota_traffic import read_ledger


def served(line: str) -> float:
    return float(line.partition("served")[2].split("%")[0])


def test_it_says_what_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tpm", "60000", "--team", "flood:30", "--team", "small:1:0.5", "--max-tokens", "4000", "--seconds", "40"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "as asked",
        "max_tokens near the answers",
        "half the quota",
        "twice the quota",
        "one more region",
    ]
    assert all("flood: " in line and "small: " in line for line in lines)
    assert "reserved 10." in lines[0]
    assert served(lines[4]) > 80, "both regions are used"


def test_an_export_of_the_ledger_is_sent_at_its_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "phase": phase,
            "at": f"2026-11-30T12:00:{second:02}.5Z",
            "team_id": f"team{second % 2}",
            "key_id": "k",
            "input_tokens": 900,
            "output_tokens": 50,
            "cache_read_tokens": 100,
            "cache_write_tokens": 0,
        }
        for second in range(20)
        for phase in ("hold", "settle")
    ]
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    calls = read_ledger(path, 10)
    assert [call.at for call in calls] == list(range(20))
    assert {(call.input, call.cached, call.max_tokens) for call in calls} == {(900, 100, 50)}
    main(["--tpm", "60000", "--ledger", str(path)])
    assert "team0: 10/10" in capsys.readouterr().out.splitlines()[0]


def test_thousands_of_teams_before_many_replicas() -> None:
    """On paper: the queue and the pools stay fast, and every team is served."""
    teams = tuple(Team(f"team{number}", 1, pause=20.0) for number in range(2000))
    result = simulate(Scenario(teams, per_minute=3_000_000, replicas=100, seconds=60, burst_seconds=10))
    assert result.throttled_share <= 0.01
    assert all(got.succeeded for got in result.teams.values())


def test_a_second_region_doubles_what_is_served() -> None:
    one, two = (simulate(Scenario(FLOOD, regions=regions)) for regions in (1, 2))
    assert two.settled > 1.7 * one.settled
