"""Sums entries of the ledger by hour and by day, and adds the sums to the table `usage`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.governance.ledger.entry import COUNTS, Entry
from app.storage.tables import usage
from app.wire import json

GROUP = ("interval", "start", "team_id", "key_id", "user", "model", "labels")
SUMS = ("requests", *COUNTS, "cost_nano", "estimated_nano", "unpriced_requests")
# the values of GROUP
Group = tuple[Any, ...]


def add_entry(sums: dict[Group, dict[str, int]], entry: Entry) -> None:
    """Add an entry to the sums of its hour and its day. A hold is in no sum."""
    if entry.phase == "hold":
        return
    hour = entry.at.replace(minute=0, second=0, microsecond=0)
    labels = json.dumps(dict(sorted(entry.labels.items()))).decode()
    for interval, start in (("hour", hour), ("day", hour.replace(hour=0))):
        group = (interval, start, entry.team_id, entry.key_id, entry.user, entry.model_served, labels)
        row = sums.setdefault(group, dict.fromkeys(SUMS, 0))
        for name in COUNTS:
            row[name] += getattr(entry, name)
        is_settlement = entry.phase == "settle"
        row["requests"] += is_settlement
        row["cost_nano"] += entry.cost_nano or 0
        row["estimated_nano"] += (entry.cost_nano or 0) if entry.is_estimated else 0
        row["unpriced_requests"] += is_settlement and entry.cost_nano is None


def sums_of(entries: Iterable[Entry]) -> dict[Group, dict[str, int]]:
    """Return the sums of entries by group."""
    sums: dict[Group, dict[str, int]] = {}
    for entry in entries:
        add_entry(sums, entry)
    return sums


async def add_to_usage(connection: AsyncConnection, sums: Mapping[Group, Mapping[str, int]]) -> None:
    """Add sums to the rows of `usage`, which other replicas may change at the same time."""
    if not sums:
        return
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(usage)
    added = {name: usage.c[name] + insert.excluded[name] for name in SUMS}
    statement = insert.on_conflict_do_update(index_elements=GROUP, set_=added)
    # sorted, so that two transactions never wait for each other in a circle
    rows = [{**dict(zip(GROUP, group, strict=True)), **sums[group]} for group in sorted(sums)]
    await connection.execute(statement, rows)
