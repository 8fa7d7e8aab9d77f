"""Chooses the table of sums that a report reads: the one with the fewest rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, FromClause, case
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.operations.derived_usage import sums_by_model, sums_of_all_models
from app.admin.api.operations.usage_columns import COLUMNS, Interval
from app.storage.tables import usage, usage_totals


class UsageSource(Struct, frozen=True):
    """A table of sums. dimension: whose values are in the column `value`; empty for `usage`, which has all of them."""

    table: FromClause
    dimension: str = ""

    def column(self, name: str) -> ColumnElement[Any]:
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


async def source_for(
    connection: AsyncConnection, names: Iterable[str], interval: Interval, since: datetime | None = None
) -> UsageSource:
    """Return what is read fastest of what has all of these dimensions.

    Args:
        names: in COLUMNS. since: if only the sums since then are wanted, and not those of each hour or day.
    """
    further = {*names} - {"team"}
    if "model" in further and len(further) == 2:
        (dimension,) = further - {"model"}
        rows = await sums_by_model(connection, dimension, interval, since)
        return UsageSource(usage) if rows is None else UsageSource(rows, dimension)
    match [*further]:
        case []:
            # fewer models than keys and users
            return UsageSource(usage_totals, "model")
        case [dimension]:
            return UsageSource(usage_totals, dimension)
        case _:
            return UsageSource(usage)


async def source_of_all_values(
    connection: AsyncConnection, dimension: str, interval: Interval, since: datetime
) -> UsageSource:
    """Return what is read fastest for the sums of all values of a dimension: `key`, `user` or `label`."""
    rows = await sums_of_all_models(connection, dimension, interval, since)
    return UsageSource(usage_totals if rows is None else rows, dimension)
