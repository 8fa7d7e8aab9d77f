"""Money as decimal strings in documents, and as integer nano-dollars inside."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
_USD = re.compile(_PATTERN[:-1] + r"\Z")
_NANO = 1_000_000_000


def parse_usd(text: object) -> int:
    """Convert a decimal string to nano-dollars, exactly.

    Raises:
        ValueError: it is not a string, or not an amount from 0 to 999999999.999999999.
    """
    if not isinstance(text, str) or not _USD.match(text):
        raise ValueError('must be a string with an amount in USD, such as "25.00", with at most 9 decimals')
    whole, _, decimals = text.partition(".")
    return int(whole) * _NANO + int(decimals.ljust(9, "0"))


def format_usd(nano: int) -> str:
    """Convert nano-dollars to a decimal string with all decimals that are not zero, at least two."""
    whole, part = divmod(abs(nano), _NANO)
    decimals = f"{part:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{decimals}"


_SCHEMA = {"type": "string", "examples": ["25.00"]}
UsdIn = Annotated[int, BeforeValidator(parse_usd), WithJsonSchema({**_SCHEMA, "pattern": _PATTERN})]
UsdOut = Annotated[int, PlainSerializer(format_usd, return_type=str), WithJsonSchema(_SCHEMA)]
