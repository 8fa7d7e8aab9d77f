"""Holds the limits and budgets of the caller for each attempt, and charges what the attempt cost.

Only deployments with a database compose it. A refusal is raised, and is not a result: it does not depend on the target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

from msgspec import Struct, field
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.errors import (
    BudgetSpent,
    ConnectTimeout,
    GatewayBusy,
    GatewayError,
    IdentityRefused,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.execution.abandoned_calls import AbandonedCalls
from app.execution.attempt import Attempt, Call, Candidate, Result, build_elsewhere, fold_target, request_of
from app.execution.call_bounds import Lengths, bounds_of, quick_bounds_of
from app.execution.request_context import RequestContext
from app.governance.charges import Charge, Charges, Terms
from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import RequestHold
from app.governance.holds.needs import CalledModel, Subject
from app.governance.holds.standing import Standings
from app.governance.ledger.entry import OK
from app.models.exact_prices import GUARDRAIL
from app.observability.observer import AttemptContext
from app.routing.planner import Target

T = TypeVar("T")
# a subject, the model as it was named and as it is called, the service tier, and the location
_Key = tuple[Subject, str, str, str, str]

_CUT, _CANCELLED = "cut", "cancelled"
# the model may have run, and what it wrote did not arrive
_MAY_BE_BILLED = (UpstreamFailed, UpstreamTimeout, GatewayBusy)
_NOT_SENT = (ConnectTimeout, IdentityRefused, UpstreamUnreachable)
# how a call names a guardrail, and the most characters of a token of its answer
_GUARDRAIL_CONFIG, _GUARDRAIL_HEADER = b'"guardrailConfig"', "x-amzn-bedrock-guardrailidentifier"
_TOKEN_CHARACTERS = 16
_CHECK = "/guardrail/"
# callers choose the names of models and users: 4 KB each at most
_MAX_KEPT = 5_000
# counting tokens costs nothing
_FREE = ("/count-tokens", "/count_tokens")


class _Kept(Struct, frozen=True):
    """What the calls of a subject for a target have in common. standings: None for a subject without limits."""

    target: Target
    lengths: Lengths
    terms: Terms
    standings: Standings | None


class GovernedAttempt(Struct, frozen=True):
    """Makes the attempt with what it may cost held. charges, abandoned: of this process."""

    attempt: Attempt
    charges: Charges
    abandoned: AbandonedCalls
    _kept: dict[_Key, _Kept] = field(default_factory=dict)

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`.

        Raises:
            GatewayError: the limits or budgets of the caller do not allow the attempt.
        """
        context, operation = call.context, candidate.operation
        request = request_of(context, candidate) or await build_elsewhere(context, candidate)
        if operation.contents is None and (request.method == "GET" or request.path.endswith(_FREE)):
            return await self.attempt(call, replace(candidate, request=request))
        if context.abandoned is not None:
            # the end of the attempts that run cancels this one, which nobody needs
            await asyncio.get_running_loop().create_future()
        try:
            charge = await self._begin(context, candidate, request)
        except GatewayError as refusal:
            if isinstance(refusal, BudgetSpent):
                subject = self.charges.subject_of(context)
                context.record.standings = self.charges.limits.standings(subject, refusal.detail)
            fold_target(call, candidate)
            raise
        sent = replace(candidate, request=request)
        if operation.is_streamed:
            on_stream_end, read_on = partial(self._end_stream, charge), partial(self._read_on, charge)
            sent = replace(sent, on_stream_end=on_stream_end, read_on=read_on)
        tries = len(context.record.tries)
        try:
            result = await self.attempt(call, sent)
        except BaseException as failure:
            is_left = isinstance(failure, asyncio.CancelledError)
            outcome = _CANCELLED if is_left else type(failure).__name__
            if len(context.record.tries) == tries:
                # it still waited for a quota
                self.charges.release(charge, outcome)
            else:
                self.charges.settle(charge, None, "", outcome, is_left=is_left)
            raise
        if result.error is not None:
            self._end_failed(charge, result, result.error)
        elif not operation.is_streamed:
            self.charges.settle(charge, result.usage, result.tier, OK)
        if context.abandoned is not None and not context.record.is_attempted:
            context.abandoned.cancel()
            if not operation.is_streamed:
                await asyncio.sleep(0)  # nobody gets the answer; a stream is read on by what sends it
        return result

    async def _begin(self, context: RequestContext, candidate: Candidate[T], request: BedrockRequest) -> Charge:
        target, operation, record = candidate.target, candidate.operation, context.record
        subject, hold = self.charges.subject_of(context), context.hold or RequestHold()
        context.hold, context.outlive = hold, self._outlive
        # a call without a model is named by its endpoint
        called, examined, bounds = candidate.model.raw or record.route, 0, None
        may_be_a_check = operation.contents is None
        if may_be_a_check and request.path.startswith(_CHECK):
            # a caller's own check has no tokens
            called = f"{GUARDRAIL}{unquote(request.path.split('/')[2])}"
            bounds, examined = CallBounds(0, 0), len(request.body)
        key = subject, record.model, called, operation.tier, target.location_name
        kept = self._kept.get(key)
        if kept is None or kept.target is not target:
            kept = self._keep(key, target)
        record.standings = kept.standings
        if bounds is None:
            reads = kept.standings is not None
            quick = quick_bounds_of(operation, request.body, kept.lengths, reads=reads)
            bounds = quick or await bounds_of(operation, request.body, target, context.caller.name)
            # what adaptation makes names no guardrail: one is only in a request that was changed after that
            if reads and (may_be_a_check or candidate.request is not None):
                examined = _examined(request, bounds)
        charge = await self.charges.begin(kept.terms, hold, bounds, record.request_id, examined)
        if charge.hold.exceeded:
            record.exceeded = [*charge.hold.exceeded]
        return charge

    def _keep(self, key: _Key, target: Target) -> _Kept:
        subject, asked, called, tier, location = key
        model = CalledModel(asked, called, target.model_behind.raw, target.model_behind.base, location, tier)
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        standings = self.charges.limits.standings(subject) if subject.has_rules else None
        kept = _Kept(target, Lengths.of(target), self.charges.terms_of(subject, model), standings)
        self._kept[key] = kept
        return kept

    def _end_failed(self, charge: Charge, result: Result[T], error: GatewayError) -> None:
        has_reply = error.upstream is not None or isinstance(error, _NOT_SENT)
        if result.usage is not None or (isinstance(error, _MAY_BE_BILLED) and not has_reply):
            self.charges.settle(charge, result.usage, result.tier, error.kind)
        else:
            self.charges.release(charge, error.kind)

    def _outlive(self, context: RequestContext, task: asyncio.Task[Any]) -> bool:
        """Let the attempts of a request end whose caller has left: Bedrock bills them all the same."""
        if not context.record.is_attempted or not self.abandoned.let_end(task, context.caller.name):
            return False
        context.abandoned = task
        if context.hold is not None:
            self.charges.limits.leave(context.hold)
        return True

    def _read_on(self, charge: Charge, rest: Coroutine[Any, Any, None]) -> bool:
        self.charges.limits.leave(charge.hold.request)
        return self.abandoned.read_on(rest, charge.entry.payer)

    def _end_stream(self, charge: Charge, attempt: AttemptContext) -> None:
        is_whole = attempt.usage is not None and attempt.usage.is_final and attempt.stream_error is None
        outcome, is_left = (OK, False) if is_whole else (_CUT, attempt.stream_error is None and not attempt.has_broken)
        received = attempt.received
        self.charges.settle(charge, attempt.usage, attempt.tier, outcome, received=received, is_left=is_left)


def _examined(request: BedrockRequest, bounds: CallBounds) -> int:
    """Return how many characters a guardrail examines at most; 0 without one."""
    named = request.body.find(_GUARDRAIL_CONFIG) >= 0 or any(name == _GUARDRAIL_HEADER for name, _ in request.headers)
    return bounds.input + _TOKEN_CHARACTERS * bounds.output if named else 0
