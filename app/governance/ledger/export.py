"""Reads entries of the ledger in the order of their time, and writes them as CSV or as JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, select, text

from app.governance.ledger.entry import Entry
from app.storage.bounded import rows_of
from app.storage.database import Database
from app.storage.tables import ledger
from app.wire import json

Format = Literal["csv", "jsonl"]
# of an exported entry; `cost_usd` is a decimal with nine digits, empty or null if the price is not known,
# and in the phase `hold`
COLUMNS = tuple("cost_usd" if name == "cost_nano" else name for name in Entry.__struct_fields__)
# spreadsheets read cells that begin with these as formulas, and callers choose some values
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class LedgerFilter(Struct, frozen=True):
    """Which entries: from `since` until before `until`. An empty id stands for all."""

    since: datetime | None = None
    until: datetime | None = None
    team_id: str = ""
    key_id: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(ledger.c.at >= self.since)
        if self.until is not None:
            found.append(ledger.c.at < self.until)
        if self.team_id:
            found.append(ledger.c.team_id == self.team_id)
        if self.key_id:
            found.append(ledger.c.key_id == self.key_id)
        return found


async def read_entries(database: Database, wanted: LedgerFilter) -> AsyncIterator[Entry]:
    """Yield entries from one snapshot, without holding them in memory.

    Raises:
        DatabaseDown: the database cannot be reached, or does not answer any more.
    """
    async with database.begin(reads=True) as connection:
        if not database.is_sqlite:
            # whoever takes the entries may be slow
            await connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        query = select(ledger).where(*wanted.conditions()).order_by(ledger.c.at)
        async for row in rows_of(connection, query):
            yield Entry(**row._mapping)


def as_document(entry: Entry) -> dict[str, Any]:
    """Return an entry by COLUMNS, as JSON can hold it."""
    document = {name: getattr(entry, name) for name in entry.__struct_fields__}
    cost = None if entry.phase == "hold" else document["cost_nano"]
    values = {**document, "at": _time(entry.at), "cost_usd": None if cost is None else usd(cost)}
    return {name: values[name] for name in COLUMNS}


def usd(nano: int) -> str:
    """Return nano-dollars as a decimal of dollars with nine digits."""
    sign, amount = ("-" if nano < 0 else ""), abs(nano)
    return f"{sign}{amount // 1_000_000_000}.{amount % 1_000_000_000:09}"


def writer(kind: Format) -> tuple[str, Callable[[Mapping[str, Any]], str]]:
    """Return the first line of a file, and the function that makes the line of an entry's document."""
    if kind == "jsonl":
        return "", lambda document: json.dumps(document).decode() + "\n"
    return _csv(COLUMNS), lambda document: _csv([_cell(document[name]) for name in COLUMNS])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps(value).decode()
    text_ = str(value)
    is_text = isinstance(value, str) and not _is_number(text_)
    return f"'{text_}" if is_text and text_.startswith(_FORMULAS) else text_


def _is_number(value: str) -> bool:
    return value.lstrip("-").replace(".", "", 1).isdecimal()


def _csv(cells: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]
    return line.getvalue()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
