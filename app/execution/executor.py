"""Runs calls of models: plans the targets of the name that the caller used, and tries them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from app.bedrock.client import BedrockClient
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.execution.attempt import Attempt, Call, Candidate, UpstreamAttempt, fold, fold_plan
from app.execution.guarded_attempt import CheckCharges, GuardedAttempt, GuardrailCheck, PolicyGuardedAttempt
from app.execution.media import Fetcher
from app.execution.operations.operation import Operation
from app.execution.operations.passthrough import Passthrough
from app.execution.policy_targets import PolicyTargets, check_model
from app.execution.request_context import RequestContext
from app.execution.target_fallbacks import CapabilityFallback, ProfileFallback
from app.governance.guardrail import Guardrail
from app.governance.identity.caller import Caller, Policy
from app.models.capabilities import Capabilities
from app.models.ids import ModelId
from app.routing.failover import Failover
from app.routing.planner import DEFAULT_ALIAS, Planner, Target

T = TypeVar("T")

_LOOKUP_SECONDS = 1.0


class Executor(Struct, frozen=True, kw_only=True):
    """Runs the calls of all dialects.

    attempt_once: makes an attempt without another try at the same target.
    attempt_adapted: tries a target again, adapted to what its refusal reported, or by an inference profile.
    attempt_verbatim: the same for a caller's own request, which is not adapted.
    guardrail_check: has the deployment's guardrail look at texts. guardrail_check_of: that of a policy.
    find_model: looks up the model of a target that is not resolved, for so many seconds at most.
    media: fetches what callers refer to by URL, if that is allowed.
    policies: applied to the targets of callers that have one.
    """

    planner: Planner
    failover: Failover
    attempt_once: Attempt
    attempt_adapted: Attempt
    attempt_verbatim: Attempt
    guardrail_check: GuardrailCheck | None = None
    guardrail_check_of: Callable[[Policy], GuardrailCheck | None] | None = None
    find_model: Callable[[Target, float], Awaitable[None]] | None = None
    media: Fetcher | None = None
    policies: PolicyTargets = field(default_factory=PolicyTargets)

    @classmethod
    def over(
        cls,
        clients: Mapping[UpstreamLocation, BedrockClient],
        planner: Planner,
        failover: Failover,
        *,
        guardrail: Guardrail | None = None,
        govern: Callable[[Attempt], Attempt] | None = None,
        check_charges: CheckCharges | None = None,
        find_profile: Callable[[ModelId], Awaitable[str | None]] | None = None,
        find_model: Callable[[Target, float], Awaitable[None]] | None = None,
        media: Fetcher | None = None,
    ) -> Executor:
        """Compose the attempts over the clients of Bedrock, which are given by location.

        Args:
            guardrail: one that applies to every call. govern: wraps attempts in limits and quotas.
            check_charges: charges callers the checks by a guardrail; None where no caller has a policy.
            find_profile: the inference profile of a model, if it has one.
        """
        attempt: Attempt = UpstreamAttempt(clients)
        if govern is not None:
            attempt = govern(attempt)
        check = None if guardrail is None else GuardrailCheck(guardrail, clients[DEFAULT_LOCATION], check_charges)
        check_of = None
        if check is not None:
            attempt = GuardedAttempt(attempt, check)
        elif check_charges is not None:
            attempt = of_policies = PolicyGuardedAttempt(attempt, clients[DEFAULT_LOCATION], check_charges)
            check_of = of_policies.check_of
        by_profile = ProfileFallback(attempt, planner, find_profile)
        return cls(
            planner=planner,
            failover=failover,
            attempt_once=attempt,
            attempt_adapted=CapabilityFallback(by_profile, planner),
            attempt_verbatim=by_profile,
            guardrail_check=check,
            guardrail_check_of=check_of,
            policies=PolicyTargets(guardrail),
            find_model=find_model,
            media=media,
        )

    async def plan(self, name: str, caller: Caller) -> list[Target]:
        """Return the targets for a name that a caller used.

        Raises:
            InvalidRequest: no model can have the name. PermissionRefused: the caller may not call it.
        """
        targets = self.planner.plan(name, caller.name)
        unresolved = [target for target in targets if target.is_unresolved]
        if unresolved and self.find_model is not None:
            await asyncio.gather(*[self.find_model(target, _LOOKUP_SECONDS) for target in unresolved])
            targets = self.planner.plan(name, caller.name)
        return targets if caller.policy is None else self.policies.of(caller.policy, name, targets)

    async def run(
        self,
        context: RequestContext,
        name: str,
        operation_for: Callable[[Target], Operation[T]],
        targets: list[Target] | None = None,
    ) -> T:
        """Return the result of the operation at the first target that succeeds.

        Args:
            name: as the caller used it. operation_for: makes the operation for a target; raises InvalidRequest if the
                target cannot carry the call. targets: if not all of the name.

        Raises:
            GatewayError: no target succeeded; see `Failover.run`.
        """
        if targets is None:
            targets = await self.plan(name, context.caller)
        fold_plan(context.record, name or DEFAULT_ALIAS, targets[0])
        if total := targets[0].limits.total:
            context.deadline.shorten(total - context.record.elapsed_ms() / 1000, "limits")
        call = Call(context, targets, operation_for)
        attempt, caller = partial(self.attempt_adapted, call), context.caller.name
        result = await self.failover.run(targets, call.prepare, attempt, context.deadline, caller)
        return call.value_of(result)

    async def forward(self, context: RequestContext, name: str, operation: Passthrough[T]) -> T:
        """Send a caller's own request to Bedrock.

        Args:
            name: of the model in the request, if any.

        Raises:
            GatewayError: as `run` does, with Bedrock's own response in `upstream` if there was one.
        """
        policy = context.caller.policy
        plan = self.planner.plan_for(name)
        if plan is None:
            if policy is not None and name:
                check_model(policy, name, ())
            return await self._forward_without_model(context, operation)
        targets = plan.as_named
        fold_plan(context.record, name, targets[0])
        unresolved = [target for target in targets if target.is_unresolved]
        if unresolved and self.find_model is not None:
            # a guardrail, a policy and a short name depend on it; else only the price does, and the call goes on
            must_wait = self.guardrail_check is not None or policy is not None
            must_wait = must_wait or not all(target.model_behind.is_opaque for target in unresolved)
            seconds = _LOOKUP_SECONDS if must_wait else 0.0
            await asyncio.gather(*[self.find_model(target, seconds) for target in unresolved])
            targets = self.planner.as_named(name) if must_wait else targets
        if policy is not None:
            targets = self.policies.of(policy, name, targets)
        if total := targets[0].limits.total:
            context.deadline.shorten(total - context.record.elapsed_ms() / 1000, "limits")
        call = Call(context, targets, lambda _: operation)
        attempt, caller = partial(self.attempt_verbatim, call), context.caller.name
        result = await self.failover.run(targets, call.prepare, attempt, context.deadline, caller)
        target = result.candidate.target
        if target.is_unresolved:
            # its model may have become known meanwhile
            known = replace(target, model_behind=self.planner.model_behind(target.model.raw))
            fold(call, replace(result, candidate=replace(result.candidate, target=known)))
        return call.value_of(result)

    async def check_texts(self, context: RequestContext, texts: list[str]) -> None:
        """Have the guardrail look at texts that go to a model which cannot have one; then the operation `is_checked`.

        Raises:
            GuardrailIntervened: it blocks them. GatewayError: as `run` does.
        """
        check = self.check_for(context.caller)
        if check is not None:
            await check.run(self.failover, context, texts)

    def check_for(self, caller: Caller) -> GuardrailCheck | None:
        """Return what has a guardrail look at the texts of a caller, if there is a guardrail."""
        if self.guardrail_check is not None or self.guardrail_check_of is None or caller.policy is None:
            return self.guardrail_check
        return self.guardrail_check_of(caller.policy)

    async def _forward_without_model(self, context: RequestContext, operation: Passthrough[T]) -> T:
        """Send a request without a model, or for one that cannot be known: its AWS service is the target."""
        target = Target(_unknown_model(context.record.target), _unknown_model(""), Capabilities())
        call = Call(context, [target], lambda _: operation)

        async def prepare(target: Target) -> Candidate[T]:
            key = (operation.request.service, DEFAULT_LOCATION, operation.surface)
            return Candidate(key=key, target=target, operation=operation, model=target.model)

        attempt, caller = partial(self.attempt_once, call), context.caller.name
        result = await self.failover.run([target], prepare, attempt, context.deadline, caller)
        return call.value_of(result)


def _unknown_model(name: str) -> ModelId:
    return ModelId(name, base="", geography="", arn_kind="", quoted="", is_opaque=False, is_billed_as_model=False)
