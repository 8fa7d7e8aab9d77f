"""Sums entries of the ledger by hour and by day, and adds the sums to the tables `usage` and `usage_totals`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import add, attrgetter
from typing import Any, cast

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
_HOUR = timedelta(hours=1)
# bytes. PostgreSQL indexes 2,700 of a row, and the other texts of a group take up to 1,500
_MAX_LABELS = 1_200
_TOKENS = attrgetter(*COUNTS)
# the values of GROUP
Group = tuple[Any, ...]


def add_entry(sums: dict[Group, dict[str, int]], entry: Entry) -> None:
    """Add an entry to the sums of its hour and its day. A hold is in no sum."""
    for group, counts in sums_of([entry]).items():
        row = sums.setdefault(group, dict.fromkeys(SUMS, 0))
        for name, count in counts.items():
            row[name] += count


def sums_of(entries: Iterable[Entry]) -> dict[Group, dict[str, int]]:
    """Return the sums of entries by group. Holds, and attempts that used and cost nothing, are in none."""
    hours: dict[Group, list[int]] = {}
    for start, members in _by_hour_and_kind(entries):
        first = members[0]
        labels = _written(first.labels)
        group = ("hour", start, first.team_id, first.key_id, first.user, first.model_served, labels)
        counts = _counts_of(members)
        if not any(counts):
            continue
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


def _by_hour_and_kind(entries: Iterable[Entry]) -> Iterator[tuple[datetime, list[Entry]]]:
    """Return the entries that have the same texts and labels together, with the beginning of their hour."""
    found: dict[tuple[object, ...], list[Entry]] = {}
    start = end = datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        if entry.phase == "hold":
            continue
        if not start <= entry.at < end:
            start = entry.at.replace(minute=0, second=0, microsecond=0)
            end = start + _HOUR
        # the entries of a key have the same object as labels
        kind = (start, entry.team_id, entry.key_id, entry.user, entry.model_served, id(entry.labels))
        members = found.get(kind)
        if members is None:
            found[kind] = [entry]
        else:
            members.append(entry)
    for (begin, *_), members in found.items():
        yield cast("datetime", begin), members


def _counts_of(entries: Sequence[Entry]) -> list[int]:
    """Return what entries add to `SUMS`. An attempt that failed and was not billed is not a request."""
    settled = [each for each in entries if each.phase == "settle"]
    return [
        len(settled) - sum(each.is_free for each in settled),
        *map(sum, zip(*map(_TOKENS, entries), strict=True)),
        sum(each.cost_nano or 0 for each in entries),
        sum(each.cost_nano or 0 for each in entries if each.is_estimated),
        sum(each.cost_nano is None for each in settled),
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
