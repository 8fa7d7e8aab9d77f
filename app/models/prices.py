"""What calls cost: on-demand prices by model, from a file that says where its figures are from.

`prices.json`: USD per million tokens. Where a model is sold by a global profile, its figures are those of that profile,
and `regional` multiplies them for every other way of calling it. `beyond` are the figures for a whole call whose input
has more `tokens`. What is not known is left out, never 0. A deployment's own figures come before the file's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from app.converse.usage import Usage
from app.errors import InvalidRequest
from app.models.ids import ModelId, parse_model_id
from app.wire import json

_FILE = Path(__file__).with_name("prices.json")
_MILLION = 1_000_000
_STANDARD = ("", "default")


class Price(Struct, frozen=True):
    """USD per million tokens; None where that is not known. Members as in the file."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    regional: float = 1.0
    beyond_tokens: int = 0
    beyond: "Price | None" = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Price":
        """Read a row of the file."""
        figures = {name: row.get(name) for name in ("cache_read", "cache_write", "cache_write_1h")}
        beyond = row.get("beyond")
        return cls(
            row["input"],
            row["output"],
            **figures,
            regional=row.get("regional", 1.0),
            beyond_tokens=beyond["tokens"] if beyond else 0,
            beyond=cls.of(beyond) if beyond else None,
        )

    def of_tokens(self, usage: Usage) -> float | None:
        """USD for these tokens at a global profile, or None where the price of some of them is not known.

        Each round has a price of its own, since `beyond` is a matter of one run of the model.
        """
        if usage.rounds:
            costs = [cost for each in usage.rounds if (cost := self.of_tokens(each)) is not None]
            return sum(costs) if len(costs) == len(usage.rounds) else None
        if self.beyond is not None and usage.prompt > self.beyond_tokens:
            return self.beyond.of_tokens(usage)
        parts = (
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read),
            (usage.cache_write - usage.cache_write_1h, self.cache_write),
            (usage.cache_write_1h, self.cache_write_1h),
        )
        if any(tokens and price is None for tokens, price in parts):
            return None
        return sum(tokens * (price or 0.0) for tokens, price in parts) / _MILLION


class Prices:
    """All prices.

    Args:
        own: a deployment's figures by base id, or by an ARN that hides its model, as rows of the file; each takes the
            place of a whole row. version: where the file's are from.
    """

    def __init__(self, own: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        document = json.loads(_FILE.read_bytes())
        self.version: str = document["version"]
        rows = {**document["models"], **(own or {})}
        self._prices = {base: Price.of(row) for base, row in rows.items()}

    def of_call(self, called: str, behind: str, usage: Usage, tier: str) -> float | None:
        """USD for a call by the names that it was made under; None where nobody knows.

        Args:
            called: the model as it was called. behind: the model that an ARN hides, where `called` is one.
        """
        try:
            model = parse_model_id(called)
            is_by_behind = model.costs_as_behind and model.base not in self._prices and behind
            return self.cost(parse_model_id(behind) if is_by_behind else model, usage, tier)
        except InvalidRequest:
            # the passthrough mode passes names on that nobody here knows
            return None

    def cost(self, model: ModelId, usage: Usage | None, tier: str = "") -> float | None:
        """USD for the tokens of a call of a model, or None where nobody knows, or where no tokens were told.

        Args:
            model: as it was called, which says whether it was by a global profile. tier: the service tier.
        """
        price = self._prices.get(model.base)
        if price is None or usage is None or not usage.is_final or tier not in _STANDARD:
            return None
        if not any(usage.counts().values()):
            return None
        dollars = price.of_tokens(usage)
        if dollars is None or model.geography == "global":
            return dollars
        return dollars * price.regional
