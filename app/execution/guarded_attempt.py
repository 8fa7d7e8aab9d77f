"""Applies the guardrail of the deployment, or of the caller's policy, to every call."""

from __future__ import annotations

from collections.abc import Coroutine, Hashable
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.endpoints import DEFAULT_LOCATION
from app.bedrock.transport import HttpResponse
from app.errors import GatewayError, GuardrailIntervened, GuardrailMissing, InvalidRequest, NotFound
from app.execution.attempt import Attempt, Call, Candidate, Result, fold, fold_check
from app.execution.operations.operation import read_document
from app.execution.request_context import RequestContext
from app.governance.guardrail import Guardrail, Shown, as_text, guardrail_of, is_missing
from app.governance.identity.caller import Policy
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.failover import AttemptResult, Failover, FailoverCandidate

T = TypeVar("T")


class GuardrailCheck(Struct, frozen=True):
    """Has a guardrail look at content by ApplyGuardrail. client: that of the gateway's own region and account."""

    guardrail: Guardrail
    client: BedrockClient

    async def run(self, failover: Failover, context: RequestContext, texts: list[str]) -> None:
        """Check texts that go to a model which cannot have a guardrail itself.

        Raises:
            GuardrailIntervened: the guardrail blocks them. GatewayError: it could not be applied.
        """
        content = [as_text(text) for text in texts]

        async def prepare(key: Hashable) -> FailoverCandidate:
            return FailoverCandidate(key=key)

        async def attempt(candidate: FailoverCandidate) -> AttemptResult[FailoverCandidate, None]:
            return AttemptResult(candidate, error=await self.apply(context, content))

        key = ("guardrail", DEFAULT_LOCATION, self.guardrail.identifier)
        result = await failover.run([key], prepare, attempt, context.deadline, context.caller.name)
        if result.error is not None:
            raise result.error

    async def apply(self, context: RequestContext, content: list[Shown]) -> GatewayError | None:
        """Check content once; return why it may not be sent."""
        record, request = context.record, self.guardrail.check(content)
        headers, span = record.trace.begin_attempt(record, self.client.endpoints[request.service].host)
        # it is no attempt at the model, so it is not among the tries of the log record
        attempt, outcome = AttemptContext(headers, context.caller.name), "cancelled"
        try:
            outcome = await self.client.attempt(request, attempt, _parse)
        except GatewayError as error:
            outcome = error.kind
            if isinstance(error, NotFound) or (isinstance(error, InvalidRequest) and is_missing(error)):
                return _missing()
            return error.replaced(detail=f"ApplyGuardrail: {error.detail or error.kind}")
        finally:
            fold_check(record, attempt.upstream_request_id)
            record.trace.end_attempt(record, span, outcome)
        return None


async def _parse(response: HttpResponse, attempt: AttemptContext) -> str:
    document = await read_document(response, attempt)
    if document.get("action") != "NONE":
        raise GuardrailIntervened("the guardrail of this deployment blocked the input")
    return ""


def _missing() -> GuardrailMissing:
    return GuardrailMissing("the guardrail of this deployment is not there", detail="GUARDRAIL_ID")


class GuardedAttempt(Struct, frozen=True):
    """Makes the attempt with the guardrail in its request; what the guardrail would not see there is checked first."""

    attempt: Attempt
    check: GuardrailCheck

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        guarded = candidate
        if not candidate.operation.is_checked:
            fold(call, AttemptResult(candidate))
            try:
                guarded = await self._guarded(call.context, candidate)
            except GatewayError as error:
                upstream_request_id = call.context.record.upstream_request_id
                return AttemptResult(candidate, error=error.replaced(), upstream_request_id=upstream_request_id)
        result = await self.attempt(call, guarded)
        if isinstance(result.error, InvalidRequest) and is_missing(result.error):
            return replace(result, candidate=candidate, error=_missing())
        return replace(result, candidate=candidate)

    async def _guarded(self, context: RequestContext, candidate: Candidate[T]) -> Candidate[T]:
        def guard() -> tuple[BedrockRequest, list[Shown]]:
            return self.check.guardrail.guard(candidate.operation.build(candidate.model), candidate.target.known)

        guarded, unseen = (
            guard() if context.size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, context.size, guard)
        )
        if unseen and (error := await self.check.apply(context, unseen)) is not None:
            raise error
        return replace(candidate, request=guarded)


class PolicyGuardedAttempt(Struct, frozen=True):
    """Makes the attempt with the guardrail of the caller's policy, if it has one.

    client: that of the gateway's own region and account.
    """

    attempt: Attempt
    client: BedrockClient

    def __call__(self, call: Call[T], candidate: Candidate[T]) -> Coroutine[Any, Any, Result[T]]:
        """See `Attempt`."""
        policy = call.context.caller.policy
        check = None if policy is None else self.check_of(policy)
        attempt = self.attempt if check is None else GuardedAttempt(self.attempt, check)
        return attempt(call, candidate)

    def check_of(self, policy: Policy) -> GuardrailCheck | None:
        """Return the check by the guardrail of a policy; None if it has none."""
        guardrail = guardrail_of(policy)
        return None if guardrail is None else GuardrailCheck(guardrail, self.client)
