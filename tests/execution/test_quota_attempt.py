"""What a call reserves of a quota, and for whom, when its caller, model or quota changes."""

import time
from typing import Any, TypeVar

from msgspec.structs import replace

from app.bedrock.endpoints import DEFAULT_LOCATION
from app.converse.call import ModelCall
from app.converse.usage import Usage
from app.execution.attempt import Call, Candidate, Result
from app.execution.operations.converse import ConverseOperation
from app.execution.quota_attempt import QueueSettings, QuotaAttempt
from app.governance.identity.caller import Caller, Policy
from app.governance.quotas.meters import LocalMeters
from app.governance.quotas.pools import QuotaLimits, Quotas
from app.routing.failover import AttemptResult
from app.routing.planner import Planner, Target
from tests.execution.test_executor import as_it_is, context

MODEL = "us.amazon.nova-pro-v1:0"
T = TypeVar("T")


class Answered:
    """An attempt that succeeds at once."""

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        return AttemptResult(candidate, usage=Usage(input=3, output=4))


class Deployment:
    def __init__(self) -> None:
        self.quotas = Quotas({}, "us-east-1", lambda _, meters: LocalMeters(meters, time.monotonic), time.monotonic)
        self.set_limit(10**9)
        self.attempt = QuotaAttempt(Answered(), self.quotas, QueueSettings())
        (self.target,) = Planner(MODEL).plan(MODEL)

    def set_limit(self, tokens_per_minute: int) -> None:
        self.quotas.set_found({(MODEL, "us-east-1", ""): QuotaLimits(tokens_per_minute)})

    async def reserved(self, caller: Caller, target: Target | None = None) -> int:
        """Make a call that sets no length; return what it reserved."""
        target = target or self.target
        call = ModelCall(MODEL, {"messages": [{"role": "user", "content": [{"text": "x"}]}]})
        operation: ConverseOperation[Any] = ConverseOperation.of(call, target, as_it_is)
        made = replace(context(), caller=caller)
        prepared = await Call(made, [target], lambda _: operation).prepare(target)
        await self.attempt(Call(made, [target], lambda _: operation), prepared)
        assert made.record.quota is not None
        return made.record.quota.reserved

    def teams(self) -> list[str]:
        (pool,) = self.quotas.pools.values()
        return list(pool.figures.teams)


async def test_calls_count_for_the_team_that_their_key_has_now() -> None:
    deployment = Deployment()
    for team in ("before", "after"):
        await deployment.reserved(Caller("key", Policy(team_id=team)))
    assert deployment.teams() == ["before", "after"]


async def test_a_call_without_a_length_reserves_the_longest_answer_as_it_is_known_now() -> None:
    deployment, caller = Deployment(), Caller("key")
    assert 16_384 < await deployment.reserved(caller) < 16_500
    learned = deployment.target.capabilities.with_values({"max_output": 5000})
    assert 5000 < await deployment.reserved(caller, replace(deployment.target, capabilities=learned)) < 5100
    assert 16_384 < await deployment.reserved(caller) < 16_500


async def test_a_call_takes_from_the_quota_as_it_was_read_last() -> None:
    deployment, caller = Deployment(), Caller("key")
    for tokens_per_minute in (10**9, 10**8):
        deployment.set_limit(tokens_per_minute)
        await deployment.reserved(caller)
        pool = deployment.quotas.pool_of(
            deployment.target.model, deployment.target.model_behind, DEFAULT_LOCATION, is_mantle=False
        )
        assert pool is not None
        assert pool.figures.calls == 1
        assert [limits.tokens_per_minute for limits in deployment.quotas.limits.values()] == [tokens_per_minute]
