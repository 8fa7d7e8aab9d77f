"""Forwards a caller's own request to Bedrock, and Bedrock's response, byte for byte."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TypedDict
from urllib.parse import unquote

from app.bedrock.client import BedrockRequest
from app.bedrock.reported_usage import tier_of_headers
from app.converse.call import Surface
from app.converse.usage import tier_of
from app.dialects.bedrock.errors import end_to_end, exception_frame
from app.dialects.bedrock.operations import AwsOperation
from app.dialects.bedrock.policy import apply_policy, without_forbidden
from app.dialects.bedrock.translated import answer
from app.dialects.http.end_user import note_end_user
from app.dialects.http.responses import Answer, CompleteResponse, Headers, StreamingResponse
from app.errors import GatewayError, InvalidRequest, NotFound
from app.execution.attempt import fold_passthrough
from app.execution.executor import Executor
from app.execution.operations.passthrough import ForwardedBody, PassthroughOperation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.models.ids import is_model_name
from app.models.short_names import LONG_CONTEXT
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.wire import json
from app.wire.sigv4 import spelt_as_signed


class _Performance(TypedDict, total=False):
    latency: str


class _ServiceTier(TypedDict, total=False):
    type: str


class _PricedBy(TypedDict, total=False):
    """The members of a request that determine its price; nothing else becomes an object."""

    performanceConfig: _Performance
    serviceTier: _ServiceTier


_REQUEST_HEADERS = frozenset({"accept", "content-type"})
_REQUEST_PREFIX = "x-amzn-bedrock-"
_SURFACES = {service: Surface(service) for service in ("bedrock-runtime", "bedrock", "bedrock-mantle")}


async def forward(operation: AwsOperation, executor: Executor, context: RequestContext) -> Answer:
    """Forward a request, and return Bedrock's response.

    Raises:
        GatewayError: as `Executor.forward` does; InvalidRequest or NotFound for the path of another operation.
    """
    _check_path(operation, context.head.path)
    name, surface = context.params.get("modelId", ""), operation.surface or _SURFACES[operation.service]
    policy = context.caller.policy
    adjusted = [] if policy is None else await apply_policy(operation, executor, context, policy, name)
    plan = executor.planner.plan_for(name)
    if plan is not None and plan.is_translated and surface is Surface.CONVERSE:
        return await answer(executor, context, name, is_streamed=operation.is_streamed)
    await note_end_user(context)
    fold_passthrough(context.record, surface, name if plan is not None or is_model_name(name) else "")
    request = BedrockRequest(
        operation.service,
        operation.method,
        context.head.path,
        spelt_as_signed(context.head.query),
        _forwarded_headers(context.head.headers),
        context.body,
    )
    tier = partial(_requested_tier, operation, context)
    passthrough = PassthroughOperation(
        surface=surface,
        request=request,
        is_renamed=executor.planner.renames(name) if plan is None else plan.is_renamed,
        counts_tokens=operation.name == "CountTokens",
        tier=tier() if context.size <= MAX_LOOP_BYTES else await off_loop(context.caller.name, context.size, tier),
        # a list that is filtered is read to its end
        usage_in=operation.usage_in if policy is None or operation.method != "GET" else "body",
        adjusted=adjusted,
        ignored=[LONG_CONTEXT] if plan is not None and plan.needs_beta and operation.surface else [],
    )
    if not operation.is_streamed:
        forwarded = await executor.forward(context, name, passthrough)
        headers = end_to_end(forwarded.headers)
        if isinstance(forwarded, ForwardedBody):
            return _streamed(forwarded.status, headers, forwarded.relay, lambda _: None, forwarded.length)
        response = CompleteResponse(forwarded.status, headers, forwarded.body)
        return response if policy is None else without_forbidden(operation, executor.planner, policy, response)
    context.record.streamed = True
    stream = await executor.forward(context, name, passthrough.streamed())

    def fail(error: GatewayError) -> bytes | None:
        is_invoked = operation.surface is Surface.INVOKE
        return exception_frame(error, is_invoked=is_invoked) if stream.tap.is_at_boundary else None

    return _streamed(stream.status, end_to_end(stream.headers), stream.relay, fail)


def _streamed(
    status: int,
    headers: Headers,
    relay: Relay[bytes],
    fail: Callable[[GatewayError], bytes | None],
    length: int | None = None,
) -> StreamingResponse:
    async def finish() -> bytes:
        return b""

    return StreamingResponse(status, headers, relay, lambda data: (data, None), finish, fail, length=length)


def _check_path(operation: AwsOperation, path: str) -> None:
    """Check that the encoded path is this operation's too: it is signed and sent as it is."""
    # nearly every path is its own decoded form and has neither
    if "%" in path or "//" in path or "/." in path or path.endswith("/"):
        segments = unquote(path).split("/")[1:]
        if any(segment in ("", ".", "..") for segment in segments):
            raise InvalidRequest("the path has an empty or a dot segment")
    literal_end = operation.path.rpartition("}")[2]
    if not path.endswith(literal_end):
        raise NotFound(f"there is no {operation.method} {path}")


def _forwarded_headers(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the caller's headers that Bedrock must get, without those of credentials and connection."""
    forwarded = tuple(
        [
            (name, value)
            for name, value in headers.items()
            if name in _REQUEST_HEADERS or name.startswith(_REQUEST_PREFIX)
        ]
    )
    for name, value in forwarded:
        if not value.isascii():
            raise InvalidRequest(f"the header {name} must be ASCII")
    return forwarded


def _requested_tier(operation: AwsOperation, context: RequestContext) -> str:
    """Return the service tier that is charged if the response reports none."""
    if operation.surface is not Surface.CONVERSE:
        return tier_of_headers(tuple(context.head.headers.items()))
    body = context.body
    if (
        len(body) > MAX_LOOP_BYTES  # it is parsed faster than it is searched
        or b'"serviceTier"' in body
        or b'"performanceConfig"' in body
        or (b"\\" in body and b"\\u" in body)  # an escape may hide a name
    ):
        with contextlib.suppress(json.JsonError):
            return tier_of(json.loads_as(body, _PricedBy))
    return ""
