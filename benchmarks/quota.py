"""Simulate traffic before a quota of Bedrock, through the gateway's own pools, in virtual time.

    python -m benchmarks.quota --tpm 180000 --team flood:48 --team small:2:0.5 --max-tokens 300
    python -m benchmarks.quota --tpm 3000000 --ledger ledger.jsonl --targets 2

A team is `NAME:CALLERS`, and the seconds that a caller pauses between two calls: `NAME:CALLERS:PAUSE`. With `--ledger`, the
calls of an export of the ledger are sent at their own times instead: see `outcrop ledger export`. The first line is what
was asked; the others say what would change with a smaller `max_tokens`, with half and twice the quota, and in one more
region.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.quota_simulation import Result, Scenario, Team, simulate
from benchmarks.quota_traffic import read_ledger


def _team(text: str, options: argparse.Namespace) -> Team:
    name, _, rest = text.partition(":")
    callers, _, pause = rest.partition(":")
    return Team(
        name,
        int(callers or 1),
        input=options.input,
        output=options.output,
        max_tokens=options.max_tokens,
        cached=options.cached,
        pause=float(pause or 0),
    )


def _scenario(options: argparse.Namespace) -> Scenario:
    calls = read_ledger(Path(options.ledger), options.max_tokens) if options.ledger else ()
    teams = tuple(_team(text, options) for text in options.team or ([] if calls else ["team:10"]))
    scenario = Scenario(
        teams,
        per_minute=options.tpm,
        output_rate=options.output_burndown,
        seconds=options.seconds,
        replicas=options.replicas,
        regions=options.targets,
        calls=calls,
    )
    return replace(scenario, seconds=calls[-1].at + 60) if calls else scenario


def _changes(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    yield "as asked", scenario
    shorter = tuple(replace(team, max_tokens=max(team.output * 2, 1)) for team in scenario.teams)
    calls = tuple(replace(call, max_tokens=max(call.output, 1)) for call in scenario.calls)
    yield "max_tokens near the answers", replace(scenario, teams=shorter, calls=calls)
    yield "half the quota", replace(scenario, per_minute=scenario.per_minute // 2)
    yield "twice the quota", replace(scenario, per_minute=scenario.per_minute * 2)
    yield "one more region", replace(scenario, regions=scenario.regions + 1)


def _line(name: str, result: Result) -> str:
    teams = " ".join(
        f"{team}: {got.succeeded}/{got.sent} in {got.median:.1f} s, reserved {got.reserved / max(got.settled, 1):.1f} times"
        for team, got in sorted(result.teams.items())[:8]
    )
    return f"{name:28} served {result.served:6.1%}  throttled {result.throttled_share:6.2%}  {teams}"


def main(arguments: list[str]) -> None:
    """Print a line for each scenario."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quota", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tpm", type=int, default=180_000, help="tokens per minute of the quota, in each region")
    parser.add_argument("--team", action="append", help="NAME:CALLERS[:PAUSE]; several are allowed")
    parser.add_argument("--ledger", help="an export of the ledger, as JSON lines")
    parser.add_argument("--input", type=int, default=200, help="input tokens of a call")
    parser.add_argument("--output", type=int, default=40, help="output tokens of a call, in the mean")
    parser.add_argument("--max-tokens", type=int, default=300, help="max_tokens of a call")
    parser.add_argument("--cached", type=float, default=0.0, help="the part of the input that is read from a cache")
    parser.add_argument("--output-burndown", type=int, default=5, help="tokens of the quota for an output token")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the traffic lasts")
    parser.add_argument("--replicas", type=int, default=2, help="replicas, each with its part of the quota")
    parser.add_argument("--targets", type=int, default=1, help="regions of a route, each with such a quota")
    for name, scenario in _changes(_scenario(parser.parse_args(arguments))):
        print(_line(name, simulate(scenario)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
