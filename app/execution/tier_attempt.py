"""Requests the service tier that a target of a route has, for calls that request none themselves."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.execution.attempt import Attempt, Call, Candidate, Result
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.wire import json

T = TypeVar("T")

# the paths whose bodies belong to the model: their tier is in a header (botocore 1.44.8)
_INVOKE = ("/invoke", "/invoke-with-response-stream")
_CONVERSE = ("/converse", "/converse-stream")
_HEADER = "x-amzn-bedrock-service-tier"


class TierAttempt(Struct, frozen=True):
    """Makes the attempt with the tier of the target. Only deployments whose routes name tiers compose it."""

    attempt: Attempt

    async def __call__(self, call: Call[T], candidate: Candidate[T]) -> Result[T]:
        """See `Attempt`."""
        context, operation, tier = call.context, candidate.operation, candidate.target.tier
        if not tier or operation.tier:
            return await self.attempt(call, candidate)
        build = partial(_built, candidate, tier)
        size = context.size
        request = build() if size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, size, build)
        tiered = replace(candidate, request=request, operation=replace(operation, tier=tier))
        return replace(await self.attempt(call, tiered), candidate=candidate)


def _built(candidate: Candidate[T], tier: str) -> BedrockRequest:
    request = candidate.request or candidate.operation.build(candidate.model)
    if request.path.endswith(_INVOKE):
        return replace(request, headers=(*request.headers, (_HEADER, tier)))
    if request.path.endswith(_CONVERSE):
        return replace(request, body=_with_member(request.body, {"serviceTier": {"type": tier}}))
    if "/openai/" in request.path or request.service == "bedrock-mantle":
        return replace(request, body=_with_member(request.body, {"service_tier": tier}))
    return request


def _with_member(body: bytes, member: dict[str, object]) -> bytes:
    """Add a member to a document. What is not an object stays as it is, and Bedrock refuses it."""
    stripped = body.lstrip()
    if not stripped.startswith(b"{"):
        return body
    rest = stripped[1:].lstrip()
    return json.dumps(member)[:-1] + (rest if rest.startswith(b"}") else b"," + rest)
