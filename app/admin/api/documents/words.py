"""What is wrong with a member of a request, in words for its sender."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.admin.api.documents.fields import (
    AMOUNT_OF_CENTS,
    CURSOR,
    GROUP_BY,
    GUARDRAIL_ID,
    GUARDRAIL_VERSION,
    LABEL_NAME,
    PER,
)

_TIME = "must be a time such as 2027-01-01T00:00:00Z, or a date"
_BY_TYPE = {
    "extra_forbidden": "is unknown here",
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "json_invalid": "is not JSON",
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": "must have a time zone, such as 2027-01-01T00:00:00Z",
}
_BY_PATTERN = {
    AMOUNT_OF_CENTS: "must be a string of digits, in cents",
    CURSOR: "must be `next_cursor` of the page before",
    GROUP_BY: "must be names of team, key, model, user, label and label:NAME, separated by commas",
    GUARDRAIL_ID: "must be the id of a guardrail, of small letters and digits, or its ARN",
    GUARDRAIL_VERSION: "must be a number, or DRAFT",
    LABEL_NAME: "must be 1 to 64 letters, digits, dots, underscores and hyphens",
    PER: "must be user, or label:NAME",
}


def path_of(location: Iterable[object]) -> str:
    """Return the path of a member, such as `budgets[0].amount_usd`. location: its names and positions."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def words_of(error: Mapping[str, Any]) -> str:
    """Return what a fault that pydantic reports means."""
    if error["type"] == "string_pattern_mismatch":
        return _BY_PATTERN.get(error["ctx"]["pattern"], str(error["msg"]))
    if error["type"] == "union_tag_invalid":
        return "{discriminator} must be one of {expected_tags}".format(**error["ctx"])
    return _BY_TYPE.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
