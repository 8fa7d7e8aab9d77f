"""On-demand prices by model.

`prices.json` holds USD per million tokens, and the source of its figures. Where a model has a global profile, its
figures are those of that profile, and `regional` multiplies them for every other profile. `beyond` are the figures
for a whole call whose input has more `tokens`. `tiers` are the service tiers that a model has beside the standard
one, and what multiplies its figures there. `guardrails` are USD per 1,000 units that a guardrail has examined. An
unknown price is left out, never 0. A deployment's own figures come before the file's. `python -m scripts.prices`
compares the file with a public price list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from app.converse.usage import Usage
from app.errors import InvalidRequest
from app.models.ids import parse_model_id
from app.wire import json
from app.wire.json import JsonObject

_FILE = Path(__file__).with_name("prices.json")
_MILLION = 1_000_000
_STANDARD = ("", "default")
_MAX_REPORTED = 1000

_log = logging.getLogger(__name__)


class Figures(Protocol):
    """The prices of one model per token, or per million tokens. Members as those of `Price`."""

    @property
    def input(self) -> float: ...
    @property
    def output(self) -> float: ...
    @property
    def cache_read(self) -> float | None: ...
    @property
    def cache_write(self) -> float | None: ...
    @property
    def cache_write_1h(self) -> float | None: ...
    @property
    def beyond_tokens(self) -> int: ...
    @property
    def beyond(self) -> Figures | None: ...


class Price(Struct, frozen=True):
    """USD per million tokens; None where that is not known. Members as in the file."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    regional: float = 1.0
    beyond_tokens: int = 0
    beyond: Price | None = None
    tiers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: JsonObject) -> Price:
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
            tiers=frozenset(row.get("tiers", ())),
        )


def cost_of(figures: Figures, usage: Usage) -> float | None:
    """Return the sum of tokens times figures, or None where a figure is not known. Of integers it is an integer.

    Each round has its own price, since `beyond` applies to one run of the model.
    """
    if usage.rounds:
        costs = [cost for each in usage.rounds if (cost := cost_of(figures, each)) is not None]
        return sum(costs) if len(costs) == len(usage.rounds) else None
    if figures.beyond is not None and usage.prompt > figures.beyond_tokens:
        return cost_of(figures.beyond, usage)
    if not (usage.cache_read or usage.cache_write or usage.cache_write_1h):
        return usage.input * figures.input + usage.output * figures.output
    parts = (
        (usage.input, figures.input),
        (usage.output, figures.output),
        (usage.cache_read, figures.cache_read),
        (usage.cache_write - usage.cache_write_1h, figures.cache_write),
        (usage.cache_write_1h, figures.cache_write_1h),
    )
    if None in [price for tokens, price in parts if tokens]:
        return None
    return sum([tokens * (price or 0) for tokens, price in parts])


class Prices:
    """All prices.

    Args:
        own: a deployment's figures by base id, or by an ARN that hides its model, as rows of the file. Each replaces a
            whole row. guardrails: a deployment's figures of guardrails, by name.

    version: the source of the file's figures. guardrails: USD per 1,000 units, by name.
    """

    def __init__(
        self, own: Mapping[str, JsonObject] | None = None, guardrails: Mapping[str, float] | None = None
    ) -> None:
        document = json.loads(_FILE.read_bytes())
        self.version: str = document["version"]
        self.guardrails: Mapping[str, float] = {**document["guardrails"], **(guardrails or {})}
        self._tiers: dict[str, float] = document["tiers"]
        self._reported: set[str] = set()
        rows = {**document["models"], **(own or {})}
        self._prices = {base: Price.of(row) for base, row in rows.items()}
        self._price_of = lru_cache(1024)(self._find_price)

    def of_call(self, called: str, behind: str, usage: Usage | None, tier: str) -> float | None:
        """Return USD for the tokens of a call; None where the price or the number of tokens is not known.

        Args:
            called: the model as it was called: a global profile has another price than a regional one.
            behind: the model that an ARN hides, where `called` is one. tier: the service tier.
        """
        if usage is None or not usage.is_final:
            return None
        try:
            price, factor = self._price_of(called, behind)
        except InvalidRequest:
            # the passthrough mode accepts names that are not known here
            return None
        if not (usage.input or any(usage.counts().values())):
            return None
        if price is None:
            self._report(called)
            return None
        if tier not in _STANDARD:
            if tier not in price.tiers:
                return None
            factor *= self._tiers[tier]
        total = cost_of(price, usage)
        return None if total is None else total / _MILLION * factor

    def of_tier(self, price: Price, tier: str) -> float | None:
        """Return what multiplies a price in a service tier; None if the model does not have the tier."""
        if tier in _STANDARD:
            return 1.0
        return self._tiers[tier] if tier in price.tiers else None

    def price_of(self, called: str, behind: str) -> tuple[Price, float] | None:
        """Return the price of a model, and what multiplies it for the profile that is called; None if it is not known.

        Args:
            called, behind: see `of_call`.
        """
        try:
            price, factor = self._price_of(called, behind)
        except InvalidRequest:
            return None
        return None if price is None else (price, factor)

    def without_price(self, names: Iterable[str]) -> list[str]:
        """Return those of the names of models that have no price."""
        return [name for name in dict.fromkeys(names) if self._price_of(name, "")[0] is None]

    def _report(self, called: str) -> None:
        """Warn once of a model without a price."""
        if called not in self._reported and len(self._reported) < _MAX_REPORTED:
            self._reported.add(called)
            _log.warning("no price is known of a model: its requests have no cost", extra={"fields": {"model": called}})

    def _find_price(self, called: str, behind: str) -> tuple[Price | None, float]:
        """Return the price of a model, and what multiplies it for the profile that was called."""
        model = parse_model_id(called)
        if model.is_billed_as_model and model.base not in self._prices and behind:
            model = parse_model_id(behind)
        price = self._prices.get(model.base)
        return price, 1.0 if price is None or model.geography == "global" else price.regional
