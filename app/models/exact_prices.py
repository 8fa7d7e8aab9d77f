"""Prices in integers, for budgets and the ledger: pico-dollars per token, and nano-dollars per call."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from msgspec import Struct

from app.converse.usage import Usage
from app.models.prices import Price, Prices, cost_of

_PICO_PER_NANO = 1000
# how a check by a guardrail is called: it has no tokens
GUARDRAIL = "guardrail/"
_NANO, _UNITS = 1_000_000_000, 1000
# each part of a call takes a unit more than its characters fill
_MAX_PARTS = 10
_IMAGE = "content_image"


class ExactPrice(Struct, frozen=True):
    """Pico-dollars per token, for one model by one kind of profile. Members as those of `Price`.

    dearest: of the prices for input.
    """

    input: int
    output: int
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    beyond_tokens: int
    beyond: ExactPrice | None
    dearest: int

    @classmethod
    def of(cls, price: Price, factor: float) -> ExactPrice:
        """Convert a price. factor: of the profile that is called."""
        paid, written = _pico(price.input, factor), (price.cache_write, price.cache_write_1h)
        cache_write, cache_write_1h = [None if each is None else _pico(each, factor) for each in written]
        return cls(
            paid,
            _pico(price.output, factor),
            None if price.cache_read is None else _pico(price.cache_read, factor),
            cache_write,
            cache_write_1h,
            price.beyond_tokens,
            None if price.beyond is None else cls.of(price.beyond, factor),
            max(paid, cache_write or 0, cache_write_1h or 0),
        )

    def cost_nano(self, usage: Usage) -> int | None:
        """Return what tokens cost, rounded up to a nano-dollar; None where the price of some of them is not known."""
        if self.beyond is None and not (usage.cache_read or usage.cache_write or usage.rounds):
            # the same sum as below, of the usual call
            return -(-(usage.input * self.input + usage.output * self.output) // _PICO_PER_NANO)
        pico = cost_of(self, usage)
        return None if pico is None else -(-int(pico) // _PICO_PER_NANO)

    def worst_nano(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call with at most so many tokens costs.

        All input may be written to a cache, and may have the price of a long context.
        """
        dearest, output, more = self.dearest, self.output, self.beyond
        if more is not None and input_tokens > self.beyond_tokens:
            dearest = max(dearest, more.dearest)
            output = max(output, more.output)
        return -(-(dearest * input_tokens + output * output_tokens) // _PICO_PER_NANO)


_NO_TOKENS = ExactPrice(0, 0, 0, 0, 0, 0, None, 0)


class ExactPrices:
    """The prices of all models in integers."""

    def __init__(self, prices: Prices) -> None:
        self.version = prices.version
        self._prices = prices
        # nano-dollars of one unit
        self._guardrails = {name: round(usd * _NANO / _UNITS) for name, usd in prices.guardrails.items()}
        self._all_policies = sum(nano for name, nano in self._guardrails.items() if name != _IMAGE)
        # called for each attempt, and a price takes some divisions of decimals
        self.of = lru_cache(1024)(self._find)

    def _find(self, called: str, behind: str, tier: str) -> ExactPrice | None:
        """Return the price of a model in a service tier; None if it is not known. called, behind: see `Prices`."""
        if called.startswith(GUARDRAIL):
            return _NO_TOKENS
        found = self._prices.price_of(called, behind)
        if found is None:
            return None
        price, factor = found
        multiplied = self._prices.of_tier(price, tier)
        return None if multiplied is None else ExactPrice.of(price, factor * multiplied)

    def worst_guardrail_nano(self, characters: int) -> int:
        """Return the most that a guardrail costs which examines so many characters, in several parts, by all policies.

        An image is held as thousands of characters, which cost more.
        """
        return (characters // _UNITS + _MAX_PARTS) * self._all_policies if characters else 0

    def guardrail_nano(self, units: Iterable[tuple[str, int]]) -> int:
        """Return what Bedrock bills for the units that a guardrail has examined, in nano-dollars."""
        return sum(count * self._guardrails.get(name, 0) for name, count in units)


def _pico(per_million: float, factor: float) -> int:
    """Convert USD per million tokens. The shortest decimal of each number counts, and not its binary value."""
    exact = Decimal(str(per_million)) * Decimal(str(factor)) * 1_000_000
    return int(exact.to_integral_value(ROUND_CEILING))
