"""Tries a target again, without a wait, when Bedrock's refusal says how: with other capabilities, or by an inference
profile. Retries with backoff are those of `routing/failover`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION
from app.config.similar_names import similar_name
from app.converse.call import Mode, Surface
from app.errors import GatewayError, InvalidRequest, ModelDiffers, ModelNotFound, PermissionRefused, ProfileRequired
from app.execution.attempt import Attempt, Call, Candidate, Result
from app.execution.operations.operation import ignored_tools
from app.models.ids import ModelId, parse_model_id, without_prefix
from app.process.deadline import Deadline
from app.routing.planner import Planner

T = TypeVar("T")

_log = logging.getLogger(__name__)

_MAX_OVERRIDES = 3
# the surfaces whose native bodies are adapted to few capabilities
_SELDOM_ADAPTED = frozenset({Surface.OPENAI, Surface.MANTLE})
_MAX_PROFILE_SECONDS = 3.0
_MALFORMED = "failed to satisfy constraint"


class CapabilityFallback(Struct, frozen=True):
    """Makes the attempt; when the model reports that it accepts less than was known, adapts the call to that.

    planner: remembers the capabilities for later calls, once the adapted call has succeeded.
    """

    attempt: Attempt
    planner: Planner

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        result = await self.attempt(call, candidate)
        if result.error is None:
            return result
        reported: list[ModelDiffers] = []
        while len(reported) < _MAX_OVERRIDES and isinstance(result.error, ModelDiffers):
            adapted = await self._adapted(call, result.candidate, result.error)
            if adapted is None:
                break
            reported.append(result.error)
            result = await self.attempt(call, adapted)
        if result.error is None:
            for error in reported:
                self.planner.record_override(candidate.target, error, call.context.caller.name)
        return result

    async def _adapted(self, call: Call[T], candidate: Candidate[T], error: ModelDiffers) -> Candidate[T] | None:
        """Return the candidate with the capabilities that its model reported; None if it cannot carry the call so."""
        refused = candidate.operation
        target = candidate.target.with_override(error)
        if target is None:
            return None
        try:
            operation = await call.operation(target)
        except InvalidRequest:
            return None
        if ignored_tools(operation.ignored) - ignored_tools(refused.ignored):
            return None
        if refused.surface in _SELDOM_ADAPTED and operation.build(candidate.model) == refused.build(candidate.model):
            return None
        return replace(candidate, target=target, operation=operation, request=None)


class ProfileFallback(Struct, frozen=True):
    """Makes the attempt; when Bedrock has the model only by inference profile, makes it again by one of the region.

    A call that crosses byte for byte gets Bedrock's refusal, since its path must not change.

    planner: remembers the profile once it has worked. find_profile: the narrowest profile of a model, if there is one.
    """

    attempt: Attempt
    planner: Planner
    find_profile: Callable[[ModelId], Awaitable[str | None]] | None = None

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        result = await self.attempt(call, candidate)
        error = result.error
        if candidate.model is not candidate.target.model:
            self._remember(result)
        elif error is None:
            return result
        elif isinstance(error, ProfileRequired):
            profile = await self._profile_of(candidate, call.context.deadline)
            if profile is not None:
                by_profile = await self.attempt(call, replace(candidate, model=parse_model_id(profile), request=None))
                self._remember(by_profile)
                # a profile that does not exist says less than the refusal of the base id
                result = result if isinstance(by_profile.error, ModelNotFound) else by_profile
        elif isinstance(error, ModelNotFound | PermissionRefused):
            self.planner.forget_names_of(candidate.model.raw)
            if isinstance(error, ModelNotFound):
                words = self._words(error, candidate, call.context.record.model)
                return replace(result, error=error.replaced(message=words + _advice(candidate)))
        return result

    def _words(self, error: ModelNotFound, candidate: Candidate[T], name: str) -> str:
        """Return what is wrong with the name of the model: Bedrock's own words, unless the name itself says more."""
        name = without_prefix(name)
        names = [] if self.planner.is_ours(name) else [*self.planner.names(), *self.planner.short_names]
        if similar := similar_name(name, names):
            return f"no model '{name}'; did you mean '{similar}'?"
        # Bedrock's words are a kilobyte of regular expression
        return f"no model '{candidate.model.raw}'" if _MALFORMED in error.message else error.message

    def _remember(self, result: Result[T]) -> None:
        if result.error is None:
            self.planner.remember_profile(result.candidate.target.model.raw, result.candidate.model.raw)

    async def _profile_of(self, candidate: Candidate[T], deadline: Deadline) -> str | None:
        is_verbatim = candidate.operation.mode is Mode.PASSTHROUGH
        if self.find_profile is None or is_verbatim or candidate.target.location != DEFAULT_LOCATION:
            return None
        try:
            async with asyncio.timeout(min(_MAX_PROFILE_SECONDS, deadline.remaining() / 2)):
                return await self.find_profile(candidate.target.model)
        except (GatewayError, TimeoutError) as error:
            _log.warning("no inference profile could be found: %s", type(error).__name__)
            return None


def _advice(candidate: Candidate[T]) -> str:
    """Return what helps a caller whose model was not found."""
    if candidate.operation.surface is Surface.CONVERSE and candidate.target.is_only_on_mantle:
        return " (Bedrock has it on mantle only, which this deployment does not use)"
    return " (GET /v1/models lists the text models that can be called)"
