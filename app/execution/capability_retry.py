"""Tries a target again, with other capabilities, when its model refuses a call that does not fit it."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.converse.call import Mode
from app.errors import InvalidRequest, ModelDiffers
from app.execution.attempt import Attempt, Call, Candidate, Result
from app.execution.operations.operation import ignored_tools
from app.routing.planner import Planner

T = TypeVar("T")

_MAX_OVERRIDES = 3
# the surfaces whose bodies are adapted to the capabilities of a model
_ADAPTED = frozenset({"converse", "invoke", "count-tokens"})


class CapabilityRetry(Struct, frozen=True):
    """Makes the attempt; when the model reports that it accepts less than was known, adapts the call to that.

    planner: remembers the capabilities for later calls.
    """

    attempt: Attempt
    planner: Planner

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        result = await self.attempt(call, candidate)
        for _ in range(_MAX_OVERRIDES):
            if not isinstance(result.error, ModelDiffers):
                break
            adapted = await self._adapted(call, result.candidate, result.error)
            if adapted is None:
                break
            result = await self.attempt(call, adapted)
        return result

    async def _adapted(self, call: Call[T], candidate: Candidate[T], error: ModelDiffers) -> Candidate[T] | None:
        """Return the candidate with the capabilities that its model reported; None if it cannot carry the call so."""
        refused = candidate.operation
        if refused.mode is Mode.PASSTHROUGH or refused.surface not in _ADAPTED:
            return None
        target = self.planner.record_override(candidate.target, error)
        if target is None:
            return None
        try:
            operation = await call.operation(target)
        except InvalidRequest:
            return None
        if ignored_tools(operation.ignored) - ignored_tools(refused.ignored):
            return None
        return replace(candidate, target=target, operation=operation)
