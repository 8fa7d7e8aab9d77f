"""Prices in integers, for budgets and the ledger: pico-dollars per token, and nano-dollars per call."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from msgspec import Struct

from app.converse.usage import Usage
from app.models.prices import Price, cost_of

_PICO_PER_NANO = 1000


class ExactPrice(Struct, frozen=True):
    """Pico-dollars per token, for one model by one kind of profile. Members as those of `Price`."""

    input: int
    output: int
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    beyond_tokens: int
    beyond: ExactPrice | None

    @classmethod
    def of(cls, price: Price, factor: float) -> ExactPrice:
        """Convert a price. factor: of the profile that is called."""
        return cls(
            _pico(price.input, factor),
            _pico(price.output, factor),
            None if price.cache_read is None else _pico(price.cache_read, factor),
            None if price.cache_write is None else _pico(price.cache_write, factor),
            None if price.cache_write_1h is None else _pico(price.cache_write_1h, factor),
            price.beyond_tokens,
            None if price.beyond is None else cls.of(price.beyond, factor),
        )

    def cost_nano(self, usage: Usage) -> int | None:
        """Return what tokens cost, rounded up to a nano-dollar; None where the price of some of them is not known."""
        pico = cost_of(self, usage)
        return None if pico is None else -(-int(pico) // _PICO_PER_NANO)

    def worst_nano(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call with at most so many tokens costs.

        All input may be written to a cache, and may have the price of a long context.
        """
        steps = [self]
        if self.beyond is not None and input_tokens > self.beyond_tokens:
            steps.append(self.beyond)
        dearest = max(max(each.input, each.cache_write or 0, each.cache_write_1h or 0) for each in steps)
        pico = dearest * input_tokens + max(each.output for each in steps) * output_tokens
        return -(-pico // _PICO_PER_NANO)


def _pico(per_million: float, factor: float) -> int:
    """Convert USD per million tokens. The shortest decimal of each number counts, and not its binary value."""
    exact = Decimal(str(per_million)) * Decimal(str(factor)) * 1_000_000
    return int(exact.to_integral_value(ROUND_CEILING))
