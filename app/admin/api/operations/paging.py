"""Cursors, which tell where the next page of a list begins. They are opaque to clients."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from app.admin.api.documents.fields import FIRST_YEAR, LAST_YEAR
from app.admin.api.operations.failures import Fault, Invalid
from app.wire import json

Row = TypeVar("Row")


def write_cursor(values: Sequence[str | int]) -> str:
    """Return the cursor of the entries after the one with these values, by which the list is sorted."""
    return base64.urlsafe_b64encode(json.dumps(list(values))).decode().rstrip("=")


def page_of(
    found: Sequence[Row], limit: int, values_of: Callable[[Row], Sequence[str | int]]
) -> tuple[Sequence[Row], str | None]:
    """Return the entries of a page, and the cursor of the next one; None if it is the last.

    Args:
        found: the entries, and one more if there is a next page. values_of: those of an entry; see `write_cursor`.
    """
    page = found[:limit]
    return page, write_cursor(values_of(page[-1])) if len(found) > limit else None


def read_cursor(text: str, *kinds: type) -> list[str | int]:
    """Return the values in a cursor.

    Args:
        kinds: of each value.

    Raises:
        Invalid: it is not a cursor of this list.
    """
    try:
        values = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except ValueError:
        values = None
    if (
        not isinstance(values, list)
        or [type(each) for each in values] != [*kinds]
        or not all(map(_is_storable, values))
    ):
        raise invalid_cursor()
    return values


def moment_of(value: str | int) -> datetime:
    """Return a time in a cursor. Raises Invalid: it is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise invalid_cursor() from None
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise invalid_cursor()
    return moment


def invalid_cursor() -> Invalid:
    """Return the refusal of a cursor that is of no page of the list."""
    return Invalid(Fault("cursor", "must be `next_cursor` of the page before"))


def _is_storable(value: str | int) -> bool:
    """Return whether a database can compare a value: a text without control characters, or a number of 64 bits."""
    return value.isprintable() if isinstance(value, str) else -(2**63) <= value < 2**63
