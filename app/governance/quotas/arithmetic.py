"""How calls count against a quota."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.converse.usage import Usage


@dataclass(slots=True)
class Arithmetic:
    """How a call counts. output_rate: see `models.burndown`. is_mantle: output has a meter of its own.

    counts_requests: there is a meter of requests, the last one.
    first_rate: how many tokens of the first meter an output token takes.
    """

    output_rate: int = 1
    is_mantle: bool = False
    counts_requests: bool = False
    first_rate: int = field(init=False)

    def __post_init__(self) -> None:
        self.first_rate = 0 if self.is_mantle else self.output_rate

    def first_used(self, usage: Usage) -> int:
        """Return what a call took of the first meter."""
        return usage.input + usage.cache_write + usage.output * self.first_rate

    def used(self, usage: Usage) -> list[int]:
        """Return what a call took of each meter."""
        used = [self.first_used(usage)]
        if self.is_mantle:
            used.append(usage.output)
        if self.counts_requests:
            used.append(1)
        return used

    def nothing(self) -> list[int]:
        """Return what a call took that Bedrock refused."""
        return [0] * (1 + self.is_mantle + self.counts_requests)
