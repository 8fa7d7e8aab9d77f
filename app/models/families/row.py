"""A row of a family's table."""

import re
from typing import Any

from msgspec import Struct


class Row(Struct, frozen=True):
    """The facts for the models whose base id matches `pattern`.

    facts: fields of `Capabilities`, by name. evidence: where they are known from, and when.
    """

    family: str
    pattern: re.Pattern[str]
    values: dict[str, Any]
    evidence: str


def row(family: str, pattern: str, evidence: str, **values: Any) -> Row:
    """A row, its pattern compiled."""
    return Row(family, re.compile(pattern), values, evidence)
