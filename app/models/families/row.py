"""A row of a family's table."""

import re

from msgspec import Struct

from app.models.capability_values import CapabilityValues, merged


class Row(Struct, frozen=True):
    """Capabilities of the models whose base id matches `pattern`.

    values: those that differ from the defaults. by_base_id: those that differ from them for calls by the base id.
    evidence: the source of the values, and its date.
    """

    family: str
    pattern: re.Pattern[str]
    values: CapabilityValues
    evidence: str
    by_base_id: CapabilityValues


def row(
    family: str,
    pattern: str,
    evidence: str,
    *values: CapabilityValues,
    by_base_id: CapabilityValues = CapabilityValues(),  # noqa: B008 - nothing writes into it
) -> Row:
    """Return a row; a later part of the values overrides an earlier one."""
    return Row(family, re.compile(pattern), merged(*values), evidence, by_base_id)
