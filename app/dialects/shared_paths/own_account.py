"""The endpoints `/v1/usage` and `/v1/limits`, for callers themselves. Only gateways with a database have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import replace

from app.dialects.anthropic.errors import render_error as render_for_anthropic
from app.dialects.http.endpoint_spec import EndpointSpec, LazyType
from app.dialects.http.responses import JSON, Answer, CompleteResponse, ErrorRenderer
from app.dialects.openai.common.errors import render_error as render_for_openai
from app.dialects.openai.common.schemas import ERRORS
from app.execution.request_context import RequestContext
from app.governance.identity.caller import Caller
from app.server.request_head import RequestHead

DIALECT = "own account"


class OwnAccount(Protocol):
    """Reads what callers may know of themselves, as JSON."""

    async def usage(self, caller: Caller, query: Mapping[str, str]) -> bytes: ...

    async def limits(self, caller: Caller, query: Mapping[str, str]) -> bytes: ...


class _OwnAccountHandler(Struct, frozen=True):
    open_account: Callable[[], Awaitable[OwnAccount]]

    async def usage(self, context: RequestContext) -> Answer:
        account = await self.open_account()
        return CompleteResponse(200, JSON, await account.usage(context.caller, _query(context)))

    async def limits(self, context: RequestContext) -> Answer:
        account = await self.open_account()
        return CompleteResponse(200, JSON, await account.limits(context.caller, _query(context)))


def own_account_endpoints(
    open_account: Callable[[], Awaitable[OwnAccount]],
    usage_type: Callable[[], object],
    limits_type: Callable[[], object],
) -> Sequence[EndpointSpec]:
    """Return the endpoints.

    Args:
        open_account: returns what reads. usage_type, limits_type: return the types of the bodies, for OpenAPI.
    """
    handler = _OwnAccountHandler(open_account)
    usage = EndpointSpec(
        method="GET",
        path="/v1/usage",
        dialect=DIALECT,
        handler=handler.usage,
        render_error=render_for_openai,
        render_by_head=_renderer,
        name="own_usage",
        summary="Sum up your own usage",
        description="Sum up the requests, tokens and cost of the caller's key by group and interval.",
        tags=("OpenAI", "Anthropic"),
        response=LazyType(usage_type),
        responses=ERRORS,
        query={
            "group_by": (str, ""),
            "interval": (str | None, None),
            "from": (str | None, None),
            "to": (str | None, None),
            "model": (str, ""),
            "user": (str | None, None),
            "limit": (int, 50),
            "cursor": (str, ""),
        },
    )
    limits = replace(
        usage,
        path="/v1/limits",
        handler=handler.limits,
        name="own_limits",
        summary="Show your own limits and budgets",
        description="Show the limits and budgets that apply to the caller, and what is left of them. `user` names an "
        "end user.",
        response=LazyType(limits_type),
        query={"user": (str, "")},
    )
    return [usage, limits]


def _query(context: RequestContext) -> dict[str, str]:
    return dict(parse_qsl(context.head.query, keep_blank_values=True))


def _renderer(head: RequestHead) -> ErrorRenderer:
    return render_for_anthropic if head.headers.get("anthropic-version") else render_for_openai
