"""One attempt at one target, and the only module that writes its outcome into the log record of the request.

- `Attempt` is the protocol. `UpstreamAttempt` sends one request; `GuardedAttempt`, `CapabilityFallback` and
  `ProfileFallback` wrap another attempt.
- `AttemptContext` goes down with the request, and collects what its response reports.
- `AttemptResult` comes back: the immutable outcome, which failover reads and `fold` writes into the log record.
- `TriedTarget` is what the log record lists of an attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from msgspec import Struct

from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.endpoints import UpstreamLocation
from app.converse.call import Mode, Surface
from app.converse.usage import Usage
from app.errors import GatewayError, InvalidRequest
from app.execution.operations.operation import Operation, ignored_tools
from app.execution.request_context import RequestContext
from app.models.ids import ModelId
from app.observability.observer import AttemptContext, QuotaUse, RequestRecord, TriedTarget
from app.observability.trace import NO_TRACE, Headers, Span
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.failover import AttemptResult, FailoverCandidate
from app.routing.planner import Target

T = TypeVar("T")


class Candidate(FailoverCandidate, Generic[T], frozen=True, kw_only=True):
    """A target with the operation that calls it.

    model: as it is called: the target's, or an inference profile of that.
    request: built already; None if the operation builds it.
    on_stream_end: called when the stream of the next attempt ends, after that was written into the log record.
    read_on: takes over the stream of the next attempt if its caller leaves; see `Relay`.
    """

    target: Target
    operation: Operation[T]
    model: ModelId
    request: BedrockRequest | None = None
    on_stream_end: Callable[[AttemptContext], object] | None = None
    read_on: Callable[[Coroutine[Any, Any, None]], bool] | None = None


class Call(Struct, Generic[T]):
    """One call of a model: what all its attempts share.

    operation_for: makes the operation for a target; raises InvalidRequest if the target cannot carry the call.
    first: the operation of the first target. queued: seconds that it has waited for quotas.
    """

    context: RequestContext
    targets: list[Target]
    operation_for: Callable[[Target], Operation[T]]
    first: Operation[T] | None = None
    queued: float = 0.0

    async def prepare(self, target: Target) -> Candidate[T]:
        """Make the candidate of a target.

        Raises:
            InvalidRequest: the target cannot carry the call, or would ignore a tool that the first target accepts.
        """
        if self.context.size <= MAX_LOOP_BYTES:
            operation = self.operation_for(target)
        else:
            operation = await self.operation(target)
        if self.first is None:
            self.first = operation
        elif operation.ignored and (lost := ignored_tools(operation.ignored) - ignored_tools(self.first.ignored)):
            raise InvalidRequest("no other target can carry this", param=min(lost))
        return Candidate(
            key=(
                target.model.raw,
                target.location,
                f"{operation.surface} {target.tier}" if target.tier else operation.surface,
            ),
            is_verbatim=operation.mode is Mode.PASSTHROUGH,
            target=target,
            operation=operation,
            model=target.model,
        )

    async def operation(self, target: Target) -> Operation[T]:
        """Make the operation for a target, in a thread if the request is large. Raises InvalidRequest."""
        if self.context.size <= MAX_LOOP_BYTES:
            return self.operation_for(target)
        return await off_loop(self.context.caller.name, self.context.size, partial(self.operation_for, target))

    def value_of(self, result: Result[T]) -> T:
        """Return the value of the call's result, or fold the failure that the caller gets and raise it."""
        if result.error is not None:
            fold(self, result)
            raise result.error
        return cast("T", result.value)


Result = AttemptResult[Candidate[T], T]


def request_of(context: RequestContext, candidate: Candidate[Any]) -> BedrockRequest | None:
    """Return the request of a candidate, built if that is quick; None if it has to be built elsewhere."""
    if candidate.request is not None:
        return candidate.request
    operation = candidate.operation
    is_quick = context.size <= MAX_LOOP_BYTES or not operation.encodes_in_build
    return operation.build(candidate.model) if is_quick else None


async def build_elsewhere(context: RequestContext, candidate: Candidate[Any]) -> BedrockRequest:
    """Build the request of a candidate in a thread."""
    return await off_loop(context.caller.name, context.size, partial(candidate.operation.build, candidate.model))


class Attempt(Protocol):
    """Makes an attempt, or several at one target, and returns the result of the last."""

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """Try a candidate. A failure is in the result, and no GatewayError is raised."""
        ...


class UpstreamAttempt(Struct, frozen=True):
    """One request to Bedrock. clients: by location."""

    clients: Mapping[UpstreamLocation, BedrockClient]

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        context, operation, target = call.context, candidate.operation, candidate.target
        record = context.record
        fold_target(call, candidate)
        request = request_of(context, candidate) or await build_elsewhere(context, candidate)
        client = self.clients[target.location]
        trace = record.trace
        headers: Headers = ()
        span: Span = None
        if trace is not NO_TRACE:
            headers, span = trace.begin_attempt(record, client.endpoints[request.service].host)
        attempt = AttemptContext(headers, context.caller.name, count_response=context.count_response)
        if operation.is_streamed:
            attempt.on_stream_end = partial(_fold_stream, record, candidate.on_stream_end)
            attempt.read_on = candidate.read_on
        entry = TriedTarget(candidate.model.raw, target.location_name)
        record.tries.append(entry)
        outcome = "cancelled"
        error: GatewayError | None = None
        value: T | None = None
        try:
            value = await client.attempt(request, attempt, operation.parse, target.limits.timeouts)
            outcome = ""
        except GatewayError as failure:
            # a copy: the frames of the error itself hold the body of the request
            error, outcome = failure.replaced(), failure.kind
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            outcome = type(failure).__name__
            raise
        finally:
            entry.error, entry.milliseconds = outcome, (time.monotonic() - entry.started) * 1000
            result = AttemptResult(candidate, value, error, attempt.upstream_request_id, attempt.usage, attempt.tier)
            # without a response a cancelled attempt must not hide why it was cancelled: another's failure
            if outcome != "cancelled" or attempt.upstream_request_id:
                _fold_response(record, result)
            if trace is not NO_TRACE:
                trace.end_attempt(record, span, outcome)
        return result


def fold(call: Call[T], result: Result[T]) -> None:
    """Write the result of an attempt into the log record."""
    fold_target(call, result.candidate)
    _fold_response(call.context.record, result)


def fold_target(call: Call[T], candidate: Candidate[T]) -> None:
    """Write the beginning of an attempt into the log record, which forgets the response to an earlier one."""
    record, targets, target, operation = call.context.record, call.targets, candidate.target, candidate.operation
    record.target, record.location = candidate.model.raw, target.location_name
    record.mode, record.surface = operation.mode, operation.surface
    record.model_behind = target.model_behind.raw
    record.upstream_request_id, record.usage, record.tier = "", None, operation.tier
    record.ignored = operation.ignored
    record.adjusted = operation.adjusted
    if target.by_profile or candidate.model is not target.model:
        record.adjusted = [*operation.adjusted, "inference_profile"]
    if len(targets) > 1 and target.key != targets[0].key:
        record.has_moved = True


def _fold_response(record: RequestRecord, result: Result[T]) -> None:
    """Write what the response to an attempt reports, whose beginning was written before."""
    record.upstream_request_id = result.upstream_request_id
    record.usage, record.tier = result.usage, result.tier or result.candidate.operation.tier


def fold_plan(record: RequestRecord, name: str, target: Target) -> None:
    """Write the first target of a call that has not begun into the log record."""
    record.model, record.target = name, target.model.raw


def fold_passthrough(record: RequestRecord, surface: Surface, model: str) -> None:
    """Write a request that crosses byte for byte into the log record, before its targets are known."""
    record.mode, record.surface = Mode.PASSTHROUGH, surface
    record.model = record.target = model


def fold_ignored(record: RequestRecord, ignored: list[str]) -> None:
    """Write the fields of a request that have no effect into the log record, before its first attempt."""
    record.ignored = ignored


def fold_usage(record: RequestRecord, usage: Usage | None) -> None:
    """Write the tokens of several calls that answer one request into the log record."""
    record.usage = usage


def fold_check(record: RequestRecord, upstream_request_id: str) -> None:
    """Write the id of a guardrail's check into the log record; the next attempt writes its own."""
    record.upstream_request_id = upstream_request_id


def fold_quota(record: RequestRecord, use: QuotaUse) -> None:
    """Write what an attempt takes of a quota into the log record, with the waits of the attempts before it."""
    if record.quota is not None:
        use.waited += record.quota.waited
    record.quota = use


def _fold_stream(
    record: RequestRecord, on_end: Callable[[AttemptContext], object] | None, attempt: AttemptContext
) -> None:
    """Write what a stream reported after its attempt had succeeded."""
    record.usage, record.tier = attempt.usage, attempt.tier or record.tier
    if attempt.stream_error is not None:
        record.error, record.detail = attempt.stream_error.kind, attempt.stream_error.detail
    if on_end is not None:
        on_end(attempt)
