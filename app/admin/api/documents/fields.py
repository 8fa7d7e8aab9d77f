"""Types of the members that several documents have."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

FIRST_YEAR, LAST_YEAR = 2000, 9000
# `words` says what they mean
LABEL_NAME = r"^[A-Za-z0-9._-]{1,64}$"
PER = r"^(user|label:[A-Za-z0-9._-]{1,64})$"
GUARDRAIL_ID = r"^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)$"
GUARDRAIL_VERSION = r"^([1-9][0-9]{0,7}|DRAFT)$"
CURSOR = r"^[A-Za-z0-9_-]*$"
AMOUNT_OF_CENTS = r"^[0-9]{1,11}$"
_GROUP = r"(team|key|model|user|label(:[A-Za-z0-9._-]{1,64})?)"
GROUP_BY = rf"^({_GROUP}(,{_GROUP}){{0,9}})?$"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def _check_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold no control characters")
    return text


def _complete_date(value: object) -> object:
    """Add midnight in UTC to a date. pydantic would also take numbers."""
    if isinstance(value, str):
        return f"{value}T00:00:00Z" if _DATE.match(value) else value
    if not isinstance(value, datetime):
        raise ValueError("must be a time such as 2026-12-31T00:00:00Z")
    return value


def _check_year(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must be a year from {FIRST_YEAR} to {LAST_YEAR}")
    return moment


def _check_name(text: str) -> str:
    if text != text.strip():
        raise ValueError("must not be blank, or begin or end with a space")
    return _check_text(text)


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})
Moment = Annotated[AwareDatetime, BeforeValidator(_complete_date), AfterValidator(_check_year), _TIME_SCHEMA]
Text = Annotated[str, Field(max_length=256), AfterValidator(_check_text)]
# what chooses entries of a list: an empty one, as of a variable that is not set, would choose all
Choice = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_text)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_name)]
Identifier = Annotated[str, Field(max_length=64), AfterValidator(_check_text)]
Pattern = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_text)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Capacity = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000_000)]
Flag = Annotated[bool, Field(strict=True)]
Per = Annotated[str, Field(pattern=PER)]
KeyStatus = Literal["active", "blocked", "revoked", "expired"]


class Document(BaseModel):
    """A document without members that are not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Guardrail(Document):
    """A guardrail of Bedrock that is applied to every call."""

    id: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=GUARDRAIL_ID,
        ),
    ]
    version: Annotated[str, Field(pattern=GUARDRAIL_VERSION)] = "DRAFT"
