"""Chooses the table of sums that a report reads: the one with the fewest rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Table, case

from app.storage.tables import usage, usage_totals

# what sums can be grouped by and filtered by, and its column in `usage`
COLUMNS = {"team": "team_id", "key": "key_id", "user": "user", "model": "model", "label": "labels"}
SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip


class UsageSource(Struct, frozen=True):
    """A table of sums. dimension: of `usage_totals`; empty for `usage`, which has all of them."""

    table: Table
    dimension: str = ""

    def column(self, name: str) -> Column[Any]:
        """Return the column of a name in COLUMNS."""
        return self.table.c.value if name == self.dimension else self.table.c[COLUMNS[name]]

    def labels(self) -> ColumnElement[Any]:
        """Return the labels as JSON, also while a condition is computed for rows of other dimensions."""
        labels = self.column("label")
        return case((self.table.c.dimension == self.dimension, labels), else_="{}") if self.dimension else labels

    def conditions(self, interval: str) -> list[ColumnElement[bool]]:
        """Return the conditions for its rows of an interval, `hour` or `day`."""
        conditions = [self.table.c.interval == interval]
        return [*conditions, self.table.c.dimension == self.dimension] if self.dimension else conditions


def source_for(names: Iterable[str]) -> UsageSource:
    """Return the smallest table with all of these dimensions: names in COLUMNS."""
    further = {*names} - {"team"}
    match [*further]:
        case []:
            # fewer models than keys and users
            return UsageSource(usage_totals, "model")
        case [dimension]:
            return UsageSource(usage_totals, dimension)
        case _:
            return UsageSource(usage)
