"""Calls for the simulation of quotas, from an export of the ledger."""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RecordedCall:
    """A call at a time, in seconds since the first one. input: without what is read from a cache."""

    at: float
    team: str
    key: str
    input: int
    cached: int
    output: int
    max_tokens: int


def read_ledger(path: Path, max_tokens: int) -> tuple[RecordedCall, ...]:
    """Read the settled calls of an export, in the order of their times.

    Args:
        path: of a file of JSON lines or CSV, compressed if its name ends with `.gz`.
        max_tokens: of all calls, which the ledger does not record; at least what was answered.
    """
    rows = [row for row in _rows(path) if row["phase"] == "settle" and int(row["input_tokens"] or 0)]
    times = [datetime.fromisoformat(row["at"]).timestamp() for row in rows]
    if not rows:
        raise SystemExit(f"{path} has no settled calls")
    first = min(times)
    calls = [
        RecordedCall(
            moment - first,
            row["team_id"],
            row["key_id"],
            int(row["input_tokens"]) + int(row["cache_write_tokens"] or 0),
            int(row["cache_read_tokens"] or 0),
            int(row["output_tokens"] or 0),
            max(max_tokens, int(row["output_tokens"] or 0)),
        )
        for row, moment in zip(rows, times, strict=True)
    ]
    return tuple(sorted(calls, key=lambda call: call.at))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        if path.name.removesuffix(".gz").endswith(".csv"):
            yield from csv.DictReader(file)
        else:
            yield from map(json.loads, file)
