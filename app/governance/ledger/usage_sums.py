"""Sums entries of the ledger by hour and by day, and adds the sums to the tables `usage` and `usage_totals`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import add, attrgetter
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.governance.ledger.entry import COUNTS, Entry
from app.storage.frequent import Frequent
from app.storage.statements import insert_of
from app.storage.tables import usage, usage_totals
from app.wire import json

GROUP = ("interval", "start", "team_id", "key_id", "user", "model", "labels")
TOTAL = ("interval", "dimension", "start", "team_id", "value")
SUMS = ("requests", *COUNTS, "cost_nano", "estimated_nano", "unpriced_requests")
# bytes. PostgreSQL indexes 2,700 of a row, and the other texts of a group take up to 1,500
_MAX_LABELS = 1_200
_KIND = attrgetter("phase", "outcome", "is_estimated", "team_id", "key_id", "user", "model_served")
_LABELS, _AT, _TOKENS, _COST = attrgetter("labels"), attrgetter("at"), attrgetter(*COUNTS), attrgetter("cost_nano")
# the values of GROUP
Group = tuple[Any, ...]


def add_entry(sums: dict[Group, dict[str, int]], entry: Entry) -> None:
    """Add an entry to the sums of its hour and its day. A hold is in no sum."""
    for group, counts in sums_of([[entry]]).items():
        row = sums.setdefault(group, dict.fromkeys(SUMS, 0))
        for name, count in counts.items():
            row[name] += count


def kinds_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return entries in groups of the same phase, outcome, texts and labels."""
    found: defaultdict[object, list[Entry]] = defaultdict(list)
    # the entries of a key have the same object as labels
    for entry, kind, labels in zip(entries, map(_KIND, entries), map(id, map(_LABELS, entries)), strict=True):
        found[kind, labels].append(entry)
    return [*found.values()]


def sums_of(kinds: Iterable[Sequence[Entry]]) -> dict[Group, dict[str, int]]:
    """Return the sums of entries by group. Holds, and attempts that used and cost nothing, are in none.

    Args:
        kinds: see `kinds_of`.
    """
    hours: dict[Group, list[int]] = {}
    for members in kinds:
        first = members[0]
        if first.phase == "hold":
            continue
        texts = (first.team_id, first.key_id, first.user, first.model_served, _written(first.labels))
        for start, of_hour in _by_hour(members):
            counts = counts_of(of_hour)
            if any(counts):
                group = ("hour", start, *texts)
                hours[group] = [*map(add, hours[group], counts)] if group in hours else counts
    days: dict[Group, list[int]] = {}
    for group, sums in hours.items():
        day = ("day", group[1].replace(hour=0), *group[2:])
        days[day] = [*map(add, days[day], sums)] if day in days else sums
    return {group: dict(zip(SUMS, sums, strict=True)) for group, sums in {**hours, **days}.items()}


def _written(labels: Mapping[str, str]) -> str:
    """Return labels as the group has them: the first by name, if all together are too long for an index."""
    text = json.dumps_sorted(labels)
    if len(text) <= _MAX_LABELS:
        return text.decode()
    kept: dict[str, str] = {}
    for name in sorted(labels):
        if len(json.dumps_sorted({**kept, name: labels[name]})) > _MAX_LABELS:
            break
        kept[name] = labels[name]
    return json.dumps_sorted(kept).decode()


def _by_hour(entries: Sequence[Entry]) -> Iterable[tuple[datetime, Sequence[Entry]]]:
    """Return the beginnings of hours, each with its entries. Those of a batch are mostly of one hour."""
    times = [*map(_AT, entries)]
    first = _hour(min(times))
    if first == _hour(max(times)):
        return [(first, entries)]
    found: defaultdict[datetime, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[_hour(entry.at)].append(entry)
    return found.items()


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def counts_of(entries: Sequence[Entry]) -> list[int]:
    """Return what entries of one kind add to `SUMS`. An attempt that failed and was not billed is not a request."""
    first = entries[0]
    costs = [*map(_COST, entries)]
    free = costs.count(0) if first.has_failed else 0
    is_settled = first.phase == "settle"
    cost = sum(filter(None, costs))
    return [
        len(entries) - free if is_settled else 0,
        *map(sum, zip(*map(_TOKENS, entries), strict=True)),
        cost,
        cost if first.is_estimated else 0,
        costs.count(None) if is_settled else 0,
    ]


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
    await _addition(table, names).run(connection, rows)


@cache
def _addition(table: Table, names: tuple[str, ...]) -> Frequent:
    def build(dialect: str) -> Any:
        insert = insert_of(dialect, table)
        added = {name: table.c[name] + insert.excluded[name] for name in SUMS}
        return insert.on_conflict_do_update(index_elements=names, set_=added)

    return Frequent(build, (*names, *SUMS))
