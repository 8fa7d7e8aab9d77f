"""Waits for Bedrock's quota before an attempt, and tells it afterwards what the call took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.converse.call import Surface
from app.converse.usage import Usage
from app.errors import GatewayError, InvalidRequest, RateLimited
from app.execution.attempt import Attempt, Call, Candidate, Result, fold, fold_quota
from app.execution.request_context import RequestContext
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.pool import QuotaCall, QuotaPool, Reservation
from app.governance.quotas.pools import Quotas
from app.observability.observer import AttemptContext, QuotaUse, RequestRecord
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
# the paths whose calls take nothing of a quota
_FREE = ("/count-tokens", "/count_tokens")
# Bedrock's words for a quota that no waiting within the minute restores
_DAILY = "per day"


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


class _Inference(Struct):
    maxTokens: int | None = None


class _Lengths(Struct):
    """Where the formats of requests have the most tokens that are to be answered."""

    inferenceConfig: _Inference | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


class QuotaAttempt(Struct, frozen=True):
    """Makes the attempt when the quota of its target has room. quotas: all pools; a call without one does not wait."""

    attempt: Attempt
    quotas: Quotas
    settings: QueueSettings

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        pool = self._pool_of(candidate.target, candidate)
        if pool is None:
            return await self.attempt(call, candidate)
        context, request = call.context, candidate.request
        if request is None:
            build = partial(candidate.operation.build, candidate.model)
            request = (
                build() if context.size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, context.size, build)
            )
        built = replace(candidate, request=request)
        if request.path.endswith(_FREE):
            return replace(await self.attempt(call, built), candidate=candidate)
        try:
            reservation = await self._acquire(pool, call, candidate, request)
        except GatewayError as error:
            return AttemptResult(candidate, error=error.replaced())
        if candidate.operation.is_streamed:
            built = replace(
                built, on_stream_end=partial(_end_stream, reservation, context.record, candidate.on_stream_end)
            )
        try:
            result = await self.attempt(call, built)
        except BaseException:
            _settle(reservation, context.record, None)
            raise
        if result.error is not None:
            _end_failed(reservation, context.record, result.usage, result.error)
        elif not candidate.operation.is_streamed:
            _settle(reservation, context.record, result.usage)
        return replace(result, candidate=candidate)

    async def _acquire(
        self, pool: QuotaPool, call: Call[T], candidate: Candidate[T], request: BedrockRequest
    ) -> Reservation:
        context, settings = call.context, self.settings
        max_tokens = candidate.operation.max_tokens
        if not isinstance(max_tokens, int):
            max_tokens = await _max_tokens(context, request)
        if max_tokens is None:
            max_tokens = candidate.target.capabilities.max_output
        flow = flow_of(context, settings.weights)
        quota_call = QuotaCall(flow, len(request.body), max_tokens)
        max_wait = min(settings.max_wait, context.deadline.remaining())
        if len(call.targets) > 1 and self._is_faster_elsewhere(pool, call, candidate, quota_call):
            max_wait = min(max_wait, settings.spill_wait)
        if pool.waiting:
            fold(call, AttemptResult(candidate))
        return await pool.acquire(
            quota_call, max_wait, on_wait=context.heartbeat, wait_step=settings.heartbeat or settings.max_wait
        )

    def _is_faster_elsewhere(
        self, pool: QuotaPool, call: Call[T], candidate: Candidate[T], quota_call: QuotaCall
    ) -> bool:
        """Tell whether the call would start earlier at one of the targets after this one."""
        own = pool.outlook(quota_call)
        if own <= self.settings.spill_wait:
            return False
        keys = [target.key for target in call.targets]
        for target in call.targets[keys.index(candidate.target.key) + 1 :] if candidate.target.key in keys else ():
            other = self._pool_of(target, candidate)
            if other is None or (other is not pool and other.outlook(quota_call) < own):
                pool.figures.spilled += 1
                return True
        return False

    def _pool_of(self, target: Target, candidate: Candidate[T]) -> QuotaPool | None:
        called = candidate.model if target is candidate.target else target.model
        is_mantle = candidate.operation.surface is Surface.MANTLE
        return self.quotas.pool_of(called, target.known, target.location, is_mantle=is_mantle)


def flow_of(context: RequestContext, weights: Mapping[str, float]) -> Flow:
    """Return whose turn a call takes. Raises InvalidRequest: the header names no class."""
    caller = context.caller
    policy = caller.policy
    given = context.head.headers.get(CLASS, "")
    if given and given not in _CLASSES:
        raise InvalidRequest(f"{CLASS} must be one of {', '.join(_CLASSES)}", param=CLASS)
    if policy is None:
        return Flow(caller.name, caller.name, weights.get(caller.name, 1.0), given == _BATCH)
    is_batch = (given or policy.labels.get(CLASS_LABEL)) == _BATCH
    return Flow(policy.team_id, caller.name, weights.get(policy.team_id, 1.0), is_batch)


async def _max_tokens(context: RequestContext, request: BedrockRequest) -> int | None:
    """Return the most tokens that a request wants as its answer; None if it does not say it."""
    read = partial(_read_lengths, request.body)
    found = (
        read() if len(request.body) <= MAX_LOOP_BYTES else await off_loop(context.caller.name, len(request.body), read)
    )
    if found is None:
        return None
    inference = found.inferenceConfig
    return (
        (inference.maxTokens if inference is not None else None)
        or found.max_tokens
        or found.max_completion_tokens
        or found.max_output_tokens
    )


def _read_lengths(body: bytes) -> _Lengths | None:
    try:
        return json.loads_as(body, _Lengths)
    except json.JsonError:
        return None


def _settle(reservation: Reservation, record: RequestRecord, usage: Usage | None) -> None:
    """End a reservation. usage: None if it is not known."""
    settled = reservation.settle(usage)
    fold_quota(record, QuotaUse(reservation.waited, reservation.hold.needs[0].reserved, settled))


def _end_failed(reservation: Reservation, record: RequestRecord, usage: Usage | None, error: GatewayError) -> None:
    if isinstance(error, RateLimited) and _DAILY not in error.message:
        reservation.throttled(error.retry_after)
    elif usage is None:
        reservation.release()
    else:
        _settle(reservation, record, usage)
        return
    fold_quota(record, QuotaUse(reservation.waited, 0, 0))


def _end_stream(
    reservation: Reservation,
    record: RequestRecord,
    before: Callable[[AttemptContext], object] | None,
    attempt: AttemptContext,
) -> None:
    """End a reservation with its stream, and call what was to be called then."""
    if attempt.usage is None and isinstance(attempt.stream_error, RateLimited):
        _end_failed(reservation, record, None, attempt.stream_error)
    else:
        _settle(reservation, record, attempt.usage)
    if before is not None:
        before(attempt)
