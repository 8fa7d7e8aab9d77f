"""Waits for Bedrock's quota before an attempt, and tells it afterwards what the call took."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.converse.call import Mode, Surface
from app.converse.usage import Usage
from app.errors import DayQuotaSpent, GatewayError, InvalidRequest, RateLimited
from app.execution.attempt import Attempt, Call, Candidate, Result, build_elsewhere, fold_quota, fold_target, request_of
from app.execution.request_context import RequestContext
from app.governance.identity.caller import Caller
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.pools import CallSource, Quotas
from app.governance.quotas.reservation import QuotaCall, Reservation
from app.models.capabilities import Capabilities
from app.models.output_lengths import lengths_in
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.failover import AttemptResult
from app.routing.planner import Target
from app.wire import json

T = TypeVar("T")

# in this header a caller says how urgent a call is
CLASS = "x-outcrop-class"
_CLASSES = _INTERACTIVE, _BATCH = "interactive", "batch"
# and in this label a key or a team has the class of its calls
CLASS_LABEL = "class"
# the tier whose capacity is bought; all others share the quota (AWS user guide, service tiers, 2026-11). Only the
# configuration knows that it was bought: a caller who requests it would pass by the queue
_RESERVED = "reserved"
# Bedrock throttles it although the quota has room (AWS user guide, capacity and limits, 2026-11)
_FLEX = "flex"
# the paths whose calls take nothing of a quota
_FREE = ("/count-tokens", "/count_tokens")
# of a model whose longest answer is not known; throttles teach more
_UNKNOWN_OUTPUT = 16_384
# a call whose prompt is all in a cache waits so many times longer before it goes to another target
_CACHED_FACTOR = 5.0


class QueueSettings(Struct, frozen=True):
    """How calls wait.

    max_wait: seconds. spill_wait: seconds after which a call goes to another target instead, if that is faster.
    heartbeat: seconds after which a stream that waits gets a comment or ping; 0 for never.
    weights: parts of teams that are not 1, by their ids, or by the names of keys that have no team.
    """

    max_wait: float = 30.0
    spill_wait: float = 2.0
    heartbeat: float = 15.0
    weights: Mapping[str, float] = {}


class QuotaAttempt(Struct, frozen=True):
    """Makes the attempt when the quota of its target has room. quotas: all pools; a call without one does not wait."""

    attempt: Attempt
    quotas: Quotas
    settings: QueueSettings

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        context, operation = call.context, candidate.operation
        key = context.caller, candidate.target, candidate.model, operation.surface, operation.tier
        source = self.quotas.sources.get(key)
        if source is None:
            if (refusal := self.quotas.days.refusal(candidate.target.location)) is not None:
                return AttemptResult(candidate, error=refusal)
            source = self._source_of(context.caller, candidate)
            self.quotas.keep(key, source)
        pool = source.pool
        if pool is None:
            result = await self.attempt(call, candidate)
            if self.quotas.spent_days or isinstance(result.error, DayQuotaSpent):
                self.quotas.note_day(candidate.target.location, result.error)
            return result
        size = operation.size
        if size is None:
            request = request_of(context, candidate) or await build_elsewhere(context, candidate)
            candidate = replace(candidate, request=request)
            if request.path.endswith(_FREE):
                return await self.attempt(call, candidate)
            size = len(request.body)
        max_tokens, flow = operation.max_tokens, source.flow
        try:
            if type(max_tokens) is not int:
                max_tokens = source.longest_answer
                if operation.mode is Mode.PASSTHROUGH:
                    max_tokens = await _requested_length(context, candidate, max_tokens)
            if CLASS in context.head.headers:
                flow = _flow_of(context.caller, self.settings.weights, context.head.headers[CLASS])
            reservation = pool.acquire_now(flow, size, max_tokens) or await self._wait(
                pool, call, candidate, QuotaCall(flow, size, max_tokens)
            )
        except GatewayError as error:
            return AttemptResult(candidate, error=error.replaced())
        fold_quota(context.record, reservation)
        if operation.is_streamed:
            return await self._stream(reservation, call, candidate)
        try:
            result = await self.attempt(call, candidate)
        except BaseException:
            reservation.settle(None)
            raise
        if result.error is not None:
            self._end_failed(reservation, candidate, result.usage, result.error)
            return result
        pool.settle(reservation, result.usage)
        if self.quotas.spent_days:
            self.quotas.note_day(candidate.target.location, None)
        return result

    async def _stream(self, reservation: Reservation, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """Make an attempt whose reservation ends with its stream."""
        on_stream_end = partial(self._end_stream, reservation, candidate)
        try:
            result = await self.attempt(call, replace(candidate, on_stream_end=on_stream_end))
        except BaseException:
            reservation.settle(None)
            raise
        if result.error is not None:
            self._end_failed(reservation, candidate, result.usage, result.error)
        elif self.quotas.spent_days:
            self.quotas.note_day(candidate.target.location, None)
        return replace(result, candidate=candidate)

    async def _wait(
        self, pool: QuotaPool, call: Call[T], candidate: Candidate[T], quota_call: QuotaCall
    ) -> Reservation:
        """Wait for the turn of a call. Raises QuotaBusy: it cannot start in time."""
        context, settings = call.context, self.settings
        max_wait = max(min(settings.max_wait - call.queued, context.deadline.remaining()), 0.0)
        may_spill = False
        if len(call.targets) > 1:
            # a cache is in one region, and holds the prompts of one model
            cached = pool.estimates.cached_share(quota_call.flow.key)
            bearable = settings.spill_wait * (1 + (_CACHED_FACTOR - 1) * cached)
            may_spill = bearable < max_wait and self._is_faster_elsewhere(pool, call, candidate, quota_call, bearable)
            max_wait = bearable if may_spill else max_wait
        fold_target(call, candidate)
        began = time.monotonic()
        try:
            return await pool.acquire(
                quota_call,
                max_wait,
                may_spill=may_spill,
                on_wait=context.heartbeat,
                wait_step=settings.heartbeat or settings.max_wait,
            )
        finally:
            call.queued += time.monotonic() - began

    def _is_faster_elsewhere(
        self, pool: QuotaPool, call: Call[T], candidate: Candidate[T], quota_call: QuotaCall, bearable: float
    ) -> bool:
        """Tell whether a call would wait too long here, and would start earlier at a target after this one."""
        own = pool.outlook(quota_call)
        if own <= bearable:
            return False
        keys = [target.key for target in call.targets]
        for target in call.targets[keys.index(candidate.target.key) + 1 :] if candidate.target.key in keys else ():
            if self.quotas.days.is_spent(target.location):
                continue
            other = self._pool_of(target, candidate)
            if other is None or (other is not pool and other.outlook(quota_call) < own):
                return True
        return False

    def _end_failed(
        self, reservation: Reservation, candidate: Candidate[T], usage: Usage | None, error: GatewayError
    ) -> None:
        """End the reservation of a call that has failed. usage: what its answer has reported before that."""
        target = candidate.target
        if isinstance(error, DayQuotaSpent):
            self.quotas.note_day(target.location, error)
            reservation.release()
        elif isinstance(error, RateLimited) and (candidate.operation.tier or target.tier) != _FLEX:
            reservation.throttled(error.retry_after)
        elif usage is None:
            reservation.release()
        else:
            reservation.settle(usage)

    def _end_stream(self, reservation: Reservation, candidate: Candidate[T], attempt: AttemptContext) -> None:
        """End a reservation with its stream, and call what was to be called then."""
        if attempt.usage is None and isinstance(attempt.stream_error, RateLimited):
            self._end_failed(reservation, candidate, None, attempt.stream_error)
        else:
            reservation.settle(attempt.usage)
        if candidate.on_stream_end is not None:
            candidate.on_stream_end(attempt)

    def _source_of(self, caller: Caller, candidate: Candidate[T]) -> CallSource:
        target = candidate.target
        pool, flow = self._pool_of(target, candidate), _flow_of(caller, self.settings.weights)
        return CallSource(pool, flow, _longest_answer(target.capabilities))

    def _pool_of(self, target: Target, candidate: Candidate[T]) -> QuotaPool | None:
        called = candidate.model if target is candidate.target else target.model
        requested = candidate.operation.tier
        tier = target.tier if requested == _RESERVED else requested or target.tier
        if tier == _RESERVED:
            return None
        is_mantle = candidate.operation.surface is Surface.MANTLE
        return self.quotas.pool_of(called, target.model_behind, target.location, is_mantle=is_mantle)


def _flow_of(caller: Caller, weights: Mapping[str, float], given: str = "") -> Flow:
    """Return whose turn a call takes. given: its class by the header. Raises InvalidRequest: there is no such class."""
    policy = caller.policy
    if given and given not in _CLASSES:
        raise InvalidRequest(f"{CLASS} must be one of {', '.join(_CLASSES)}", param=CLASS)
    if policy is None:
        return Flow(caller.name, caller.name, weights.get(caller.name, 1.0), given == _BATCH)
    is_batch = (given or policy.labels.get(CLASS_LABEL)) == _BATCH
    return Flow(policy.team_id, caller.name, weights.get(policy.team_id, 1.0), is_batch)


def _longest_answer(capabilities: Capabilities) -> int:
    """Return the longest answer of a model, which Bedrock reserves for a call that sets no length."""
    if not capabilities.makes_text:
        return 0
    return capabilities.max_output if capabilities.max_output != sys.maxsize else _UNKNOWN_OUTPUT


async def _requested_length(context: RequestContext, candidate: Candidate[T], default: int) -> int:
    """Return the longest answer that a caller's own body requests. default: if it does not say it."""
    request = request_of(context, candidate) or await build_elsewhere(context, candidate)
    size, read = len(request.body), partial(_read_length, request.body, default)
    return read() if size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, size, read)


def _read_length(body: bytes, default: int) -> int:
    try:
        document = json.loads(body)
    except json.JsonError:
        return default
    named = lengths_in(document).values() if isinstance(document, dict) else ()
    return max((length for length in named if type(length) is int and length > 0), default=default)
