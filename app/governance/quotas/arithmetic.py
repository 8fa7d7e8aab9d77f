"""How calls count against a quota."""

from __future__ import annotations

from msgspec import Struct

from app.converse.usage import Usage
from app.governance.quotas.estimates import Estimate
from app.governance.quotas.meters import Need


class Arithmetic(Struct, frozen=True):
    """How a call counts. output_rate: see `models.burndown`. is_mantle: output has a meter of its own.

    counts_requests: there is a meter of requests, the last one.
    """

    output_rate: int = 1
    is_mantle: bool = False
    counts_requests: bool = False

    def needs(self, estimate: Estimate, max_tokens: int) -> list[Need]:
        """Return what a call takes of each meter: what AWS reserves, or more if it may take more in the end."""
        reserved, billed = estimate.input + max_tokens, estimate.billed
        if self.is_mantle:
            needs = [Need(reserved, billed), Need(estimate.long_output, estimate.output)]
        else:
            longest = billed + estimate.long_output * self.output_rate
            cost = billed + estimate.output * self.output_rate
            needs = [Need(reserved if reserved > longest else longest, cost)]
        if self.counts_requests:
            needs.append(Need(1, 1))
        return needs

    def used(self, usage: Usage) -> list[int]:
        """Return what a call took of each meter."""
        billed = usage.input + usage.cache_write
        used = [billed, usage.output] if self.is_mantle else [billed + usage.output * self.output_rate]
        if self.counts_requests:
            used.append(1)
        return used

    def nothing(self) -> list[int]:
        """Return what a call took that Bedrock refused."""
        return [0] * (1 + self.is_mantle + self.counts_requests)
