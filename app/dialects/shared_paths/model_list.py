"""The endpoints `/v1/models`. With a header `anthropic-version` they answer in Anthropic's format."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.control_plane import ModelDirectory
from app.dialects.anthropic.errors import render_error as render_for_anthropic
from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.responses import JSON, Answer, CompleteResponse, ErrorRenderer, Headers
from app.dialects.openai.common.errors import render_error as render_for_openai
from app.dialects.openai.common.schemas import ERRORS, ModelList, ModelOut
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.execution.request_context import RequestContext
from app.models.catalog import CatalogEntry
from app.models.ids import parse_model_id
from app.routing.planner import DEFAULT_ALIAS, Planner
from app.server.request_head import RequestHead
from app.wire import json
from app.wire.json import JsonObject

DIALECT = "models"
_log = logging.getLogger(__name__)
_PAGE, _MAX = 20, 1000


class _ModelHandler(Struct, frozen=True):
    """Lists models: aliases, what the account can call, and the default model even if AWS does not respond."""

    directory: ModelDirectory
    planner: Planner

    async def list_all(self, context: RequestContext) -> Answer:
        entries = await self._entries()
        if _is_anthropic(context.head):
            page = _page(entries, dict(parse_qsl(context.head.query)))
            return CompleteResponse(200, _headers(context), json.dumps(page))
        body = {"object": "list", "data": [_openai_model(entry) for entry in entries]}
        return CompleteResponse(200, JSON, json.dumps(body))

    async def retrieve_one(self, context: RequestContext) -> Answer:
        name = context.params["model"]
        to_body = _anthropic_model if _is_anthropic(context.head) else _openai_model
        entries = await self._entries()
        found = next((entry for entry in entries if entry.id == name), None)
        found = found or _called(name, self.planner.model_behind(""), entries)
        if found is None:
            raise ModelNotFound(f"the model {name!r} does not exist, or this account cannot call it", param="model")
        return CompleteResponse(200, _headers(context), json.dumps(to_body(found)))

    async def _entries(self) -> list[CatalogEntry]:
        aliases = [CatalogEntry(name, "outcrop") for name in self.planner.names()]
        named = {entry.id for entry in aliases}
        default = self.planner.known_as("")
        try:
            listed = [entry for entry in await self.directory.entries() if entry.id not in named]
        except GatewayError as error:
            _log.warning("only the default model is listed: %s", error.message)
            listed = []
        if default in named or any(entry.id == default for entry in listed):
            return [*aliases, *listed]
        owner = "outcrop" if default == DEFAULT_ALIAS else parse_model_id(default).base.partition(".")[0]
        return [*aliases, CatalogEntry(default, owner), *listed]


def model_endpoints(directory: ModelDirectory, planner: Planner, prefix: str = "/v1") -> Sequence[EndpointSpec]:
    """Return the endpoints that list models, under a prefix."""
    handler = _ModelHandler(directory, planner)
    list_models = EndpointSpec(
        method="GET",
        path=f"{prefix}/models",
        dialect=DIALECT,
        handler=handler.list_all,
        render_error=render_for_openai,
        render_by_head=_renderer,
        name="list_models",
        summary="List models",
        description="List the models and inference profiles that the account can call. With a header "
        "`anthropic-version`, in Anthropic's format, paged by `limit`, `after_id` and `before_id`.",
        tags=("OpenAI", "Anthropic"),
        response=ModelList,
        responses=ERRORS,
        in_schema=prefix == "/v1",
    )
    retrieve_model = replace(
        list_models,
        path=f"{prefix}/models/{{model:path}}",
        handler=handler.retrieve_one,
        name="retrieve_model",
        summary="Retrieve a model",
        description="Describe one model by its id.",
        response=ModelOut,
    )
    return [list_models, retrieve_model]


def _called(wanted: str, default: str, listed: list[CatalogEntry]) -> CatalogEntry | None:
    """Find a model by another name that can be called: `default`, an ARN, its id without a geography."""
    name = default if wanted == DEFAULT_ALIAS else wanted
    try:
        model = parse_model_id(name)
    except InvalidRequest:
        return None
    for entry in listed:
        known = parse_model_id(entry.id)
        if known.base == model.base and model.geography in ("", known.geography):
            return replace(entry, id=wanted)
    return None


def _headers(context: RequestContext) -> Headers:
    own = (("request-id", context.record.request_id),) if _is_anthropic(context.head) else ()
    return (*JSON, *own)


def _is_anthropic(head: RequestHead) -> bool:
    return bool(head.headers.get("anthropic-version"))


def _renderer(head: RequestHead) -> ErrorRenderer:
    return render_for_anthropic if _is_anthropic(head) else render_for_openai


def _openai_model(entry: CatalogEntry) -> JsonObject:
    return {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owner}


def _anthropic_model(entry: CatalogEntry) -> JsonObject:
    created = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": created}


def _page(entries: list[CatalogEntry], query: dict[str, str]) -> JsonObject:
    """Return a page of Anthropic's list.

    Raises:
        InvalidRequest: `limit` is no number from 1 to 1000.

    Source: docs/reference/contracts/anthropic-messages.md#models
    """
    limit = query.get("limit", str(_PAGE))
    if not re.fullmatch("[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MAX:
        raise InvalidRequest(f"must be a number from 1 to {_MAX}", param="limit")
    ids = [entry.id for entry in entries]
    start = ids.index(query["after_id"]) + 1 if query.get("after_id") in ids else 0
    end = ids.index(query["before_id"]) if query.get("before_id") in ids else len(ids)
    if "before_id" in query:
        start = max(start, end - int(limit))
    page = entries[start:end][: int(limit)]
    return {
        "data": [_anthropic_model(entry) for entry in page],
        "has_more": start > 0 if "before_id" in query else start + len(page) < end,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }
