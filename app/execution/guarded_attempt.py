"""Applies the guardrail of the deployment, or of the caller's policy, to every call."""

from __future__ import annotations

from collections.abc import Coroutine, Hashable
from functools import partial
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.endpoints import DEFAULT_LOCATION
from app.bedrock.transport import HttpResponse
from app.converse.guardrail_units import Units, units_of
from app.errors import GatewayError, GuardrailIntervened, GuardrailMissing, InvalidRequest, NotFound
from app.execution.attempt import Attempt, Call, Candidate, Result, fold, fold_check
from app.execution.operations.operation import read_document
from app.execution.request_context import RequestContext
from app.governance.guardrail import Guardrail, guardrail_of, is_missing
from app.governance.guardrail_content import GuardrailBlock, text_block
from app.governance.identity.caller import Policy
from app.observability.observer import AttemptContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.failover import AttemptResult, Failover, FailoverCandidate

T = TypeVar("T")


class CheckCharges(Protocol):
    """Holds the caller's limits and budgets for a check, and charges it."""

    async def begin(self, context: RequestContext, identifier: str, characters: int) -> Any:
        """Hold what a check may cost. Raises GatewayError: the caller's limits or budgets do not allow it."""
        ...

    def end(self, charge: Any, units: Units | None, outcome: str) -> None:
        """End a check. units: that the guardrail has examined; None if there was no answer."""
        ...


class GuardrailCheck(Struct, frozen=True):
    """Has a guardrail look at content by ApplyGuardrail. client: that of the gateway's own region and account.

    charges: charges callers; None without a database.
    """

    guardrail: Guardrail
    client: BedrockClient
    charges: CheckCharges | None = None

    async def run(self, failover: Failover, context: RequestContext, texts: list[str]) -> None:
        """Check texts that go to a model which cannot have a guardrail itself.

        Raises:
            GuardrailIntervened: the guardrail blocks them. GatewayError: it could not be applied.
        """
        content = [text_block(text) for text in texts]

        async def prepare(key: Hashable) -> FailoverCandidate:
            return FailoverCandidate(key=key)

        async def attempt(candidate: FailoverCandidate) -> AttemptResult[FailoverCandidate, None]:
            return AttemptResult(candidate, error=await self.apply(context, content))

        key = ("guardrail", DEFAULT_LOCATION, self.guardrail.identifier)
        result = await failover.run([key], prepare, attempt, context.deadline, context.caller.name)
        if result.error is not None:
            raise result.error

    async def apply(self, context: RequestContext, content: list[GuardrailBlock]) -> GatewayError | None:
        """Check content once; return why it may not be sent.

        Raises:
            GatewayError: the caller's limits or budgets do not allow the check. No other target would help.
        """
        record, request, charges = context.record, self.guardrail.check(content), self.charges
        identifier, size = self.guardrail.identifier, len(request.body)
        charge = None if charges is None else await charges.begin(context, identifier, size)
        units: list[Units] = []
        headers, span = record.trace.begin_attempt(record, self.client.endpoints[request.service].host)
        # it is not an attempt at the model, so it is not among the tries of the log record
        attempt, outcome = AttemptContext(headers, context.caller.name), "cancelled"
        try:
            outcome = await self.client.attempt(request, attempt, partial(_parse, units))
        except GatewayError as error:
            outcome = error.kind
            if isinstance(error, NotFound) or (isinstance(error, InvalidRequest) and is_missing(error)):
                return _missing()
            return error.replaced(detail=f"ApplyGuardrail: {error.detail or error.kind}")
        finally:
            if charges is not None:
                charges.end(charge, units[0] if units else None, outcome)
            fold_check(record, attempt.upstream_request_id)
            record.trace.end_attempt(record, span, outcome)
        return None


async def _parse(units: list[Units], response: HttpResponse, attempt: AttemptContext) -> str:
    document = await read_document(response, attempt)
    units.append(units_of(document.get("usage")))
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
            context = call.context
            try:
                guarded, unseen = await self._guarded(context, candidate)
            except GatewayError as error:
                return AttemptResult(candidate, error=error.replaced())
            if unseen and (refusal := await self.check.apply(context, unseen)) is not None:
                upstream_request_id = context.record.upstream_request_id
                return AttemptResult(candidate, error=refusal.replaced(), upstream_request_id=upstream_request_id)
        result = await self.attempt(call, guarded)
        if isinstance(result.error, InvalidRequest) and is_missing(result.error):
            return replace(result, candidate=candidate, error=_missing())
        return replace(result, candidate=candidate)

    async def _guarded(
        self, context: RequestContext, candidate: Candidate[T]
    ) -> tuple[Candidate[T], list[GuardrailBlock]]:
        """Return the candidate with the guardrail in its request, and the content that it would not check there."""

        def guard() -> tuple[BedrockRequest, list[GuardrailBlock]]:
            return self.check.guardrail.guard(candidate.operation.build(candidate.model), candidate.target.model_behind)

        guarded, unseen = (
            guard() if context.size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, context.size, guard)
        )
        return replace(candidate, request=guarded), unseen


class PolicyGuardedAttempt(Struct, frozen=True):
    """Makes the attempt with the guardrail of the caller's policy, if it has one.

    client: that of the gateway's own region and account. charges: see `GuardrailCheck`.
    """

    attempt: Attempt
    client: BedrockClient
    charges: CheckCharges | None = None

    def __call__(self, call: Call[T], candidate: Candidate[T]) -> Coroutine[Any, Any, Result[T]]:
        """See `Attempt`."""
        policy = call.context.caller.policy
        if policy is None or not policy.guardrail_id or (check := self.check_of(policy)) is None:
            return self.attempt(call, candidate)
        return GuardedAttempt(self.attempt, check)(call, candidate)

    def check_of(self, policy: Policy) -> GuardrailCheck | None:
        """Return the check by the guardrail of a policy; None if it has none."""
        guardrail = guardrail_of(policy)
        return None if guardrail is None else GuardrailCheck(guardrail, self.client, self.charges)
