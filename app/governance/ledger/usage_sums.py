"""Sums entries of the ledger by hour and by day, and adds the sums to the tables `usage` and `usage_totals`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from operator import add
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.governance.ledger.entry import COUNTS, Entry
from app.storage.statements import insert_of
from app.storage.tables import usage, usage_totals
from app.wire import json

GROUP = ("interval", "start", "team_id", "key_id", "user", "model", "labels")
TOTAL = ("interval", "dimension", "start", "team_id", "value")
SUMS = ("requests", *COUNTS, "cost_nano", "estimated_nano", "unpriced_requests")
# the values of GROUP
Group = tuple[Any, ...]


def add_entry(sums: dict[Group, dict[str, int]], entry: Entry) -> None:
    """Add an entry to the sums of its hour and its day. A hold is in no sum."""
    for group, counts in sums_of([entry]).items():
        row = sums.setdefault(group, dict.fromkeys(SUMS, 0))
        for name, count in counts.items():
            row[name] += count


def sums_of(entries: Iterable[Entry]) -> dict[Group, dict[str, int]]:
    """Return the sums of entries by group. Holds are in no sum."""
    hours: dict[Group, list[int]] = {}
    labels: dict[int, str] = {}
    for entry in entries:
        if entry.phase == "hold":
            continue
        # the entries of a key have the same object
        shown = labels.get(id(entry.labels))
        if shown is None:
            shown = labels[id(entry.labels)] = json.dumps_sorted(entry.labels).decode()
        start = entry.at.replace(minute=0, second=0, microsecond=0)
        group = ("hour", start, entry.team_id, entry.key_id, entry.user, entry.model_served, shown)
        sums = hours.get(group)
        if sums is None:
            hours[group] = [*_counts_of(entry)]
        else:
            sums[:] = map(add, sums, _counts_of(entry))
    days: dict[Group, list[int]] = {}
    for group, sums in hours.items():
        day = ("day", group[1].replace(hour=0), *group[2:])
        days[day] = [*map(add, days[day], sums)] if day in days else sums
    return {group: dict(zip(SUMS, sums, strict=True)) for group, sums in {**hours, **days}.items()}


def _counts_of(entry: Entry) -> tuple[int, ...]:
    """Return what an entry adds to `SUMS`. An attempt that failed and was not billed is no request."""
    cost = entry.cost_nano or 0
    is_settlement = entry.phase == "settle"
    return (
        int(is_settlement and not entry.is_free),
        entry.input_tokens,
        entry.output_tokens,
        entry.cache_read_tokens,
        entry.cache_write_tokens,
        entry.cache_write_1h_tokens,
        entry.reasoning_tokens,
        cost,
        cost if entry.is_estimated else 0,
        int(is_settlement and entry.cost_nano is None),
    )


async def add_to_usage(connection: AsyncConnection, sums: Mapping[Group, Mapping[str, int]]) -> None:
    """Add sums to the rows of both tables, which other replicas may change at the same time."""
    if not sums:
        return
    await add_rows(connection, usage, GROUP, sums)
    await add_rows(connection, usage_totals, TOTAL, totals_of(sums))


def totals_of(sums: Mapping[Group, Mapping[str, int]]) -> dict[Group, dict[str, int]]:
    """Return the sums by team and one more dimension."""
    totals: dict[Group, dict[str, int]] = {}
    for (interval, start, team_id, key_id, user, model, labels), row in sums.items():
        for dimension, value in (("model", model), ("key", key_id), ("user", user), ("label", labels)):
            group = interval, dimension, start, team_id, value
            total = totals.get(group)
            if total is None:
                totals[group] = {**row}
                continue
            for name in SUMS:
                total[name] += row[name]
    return totals


async def add_rows(
    connection: AsyncConnection, table: Table, names: tuple[str, ...], sums: Mapping[Group, Mapping[str, int]]
) -> None:
    """Add sums to the rows of one table. names: of its primary key, whose values are a group."""
    # sorted, so that two transactions never wait for each other in a circle
    rows = [{**dict(zip(names, group, strict=True)), **sums[group]} for group in sorted(sums)]
    await connection.execute(_addition(connection.dialect.name, table, names), rows)


@cache
def _addition(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    insert = insert_of(dialect, table)
    added = {name: table.c[name] + insert.excluded[name] for name in SUMS}
    return insert.on_conflict_do_update(index_elements=names, set_=added)
