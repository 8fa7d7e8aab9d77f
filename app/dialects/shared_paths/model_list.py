"""`GET /v1/models`: one list, in the shape of whoever asks. Anthropic's clients say so with `anthropic-version`."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from msgspec.structs import replace

from app.bedrock.control_plane import ModelDirectory
from app.dialects.anthropic.errors import render_error as render_for_anthropic
from app.dialects.http.endpoint import Endpoint, IngressLimits
from app.dialects.http.responses import JSON, Answer, CompleteResponse, Headers
from app.dialects.openai.common.errors import render_error as render_for_openai
from app.dialects.openai.common.schemas import ERRORS, ModelList, ModelOut
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.execution.request_context import RequestContext
from app.models.catalog import CatalogEntry
from app.models.ids import parse_model_id
from app.routing.planner import DEFAULT_ALIAS, Planner
from app.server.request_head import RequestHead
from app.wire import json

DIALECT = "models"
_log = logging.getLogger(__name__)
_PAGE, _MAX = 20, 1000


def model_routes(
    directory: ModelDirectory, planner: Planner, ingress_limits: IngressLimits, prefix: str = "/v1"
) -> Sequence[Endpoint]:
    """The routes that list models: aliases, what the account can call, and the default model even if AWS is silent."""
    aliases = [CatalogEntry(name, "outcrop") for name in planner.names()]
    named = {entry.id for entry in aliases}
    default = planner.known_as("")

    async def entries() -> list[CatalogEntry]:
        try:
            listed = [entry for entry in await directory.entries() if entry.id not in named]
        except GatewayError as error:
            _log.warning("only the default model is listed: %s", error.message)
            listed = []
        if default in named or any(entry.id == default for entry in listed):
            return [*aliases, *listed]
        owner = parse_model_id(default).base.partition(".")[0]
        return [*aliases, CatalogEntry(default, owner), *listed]

    async def list_all(context: RequestContext) -> Answer:
        listed = await entries()
        if _is_anthropic(context.head):
            return CompleteResponse(
                200, _headers(context), json.dumps(_page(listed, dict(parse_qsl(context.head.query))))
            )
        return CompleteResponse(
            200, JSON, json.dumps({"object": "list", "data": [_openai_model(entry) for entry in listed]})
        )

    async def retrieve_one(context: RequestContext) -> Answer:
        wanted = context.params["model"]
        shape = _anthropic_model if _is_anthropic(context.head) else _openai_model
        listed = await entries()
        found = next((entry for entry in listed if entry.id == wanted), None) or _called(wanted, default, listed)
        if found is None:
            raise ModelNotFound(f"the model {wanted!r} does not exist, or this account cannot call it", param="model")
        return CompleteResponse(200, _headers(context), json.dumps(shape(found)))

    async def list_models() -> ModelList:
        """List the models and inference profiles that the account can call. With a header `anthropic-version` in
        Anthropic's shape, which is paged by `limit`, `after_id` and `before_id`."""
        raise AssertionError

    async def retrieve_model(model: str) -> ModelOut:
        """Describe one model by its id."""
        raise AssertionError(model)

    routes = (
        (f"{prefix}/models", list_models, list_all, "List models"),
        (f"{prefix}/models/{{model:path}}", retrieve_model, retrieve_one, "Retrieve a model"),
    )
    return [
        Endpoint(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_for_openai,
            render_by_head=_renderer,
            ingress_limits=ingress_limits,
            methods=["GET"],
            tags=["OpenAI", "Anthropic"],
            summary=summary,
            responses=ERRORS,
            include_in_schema=prefix == "/v1",
        )
        for path, documented, handler, summary in routes
    ]


def _called(wanted: str, default: str, listed: list[CatalogEntry]) -> CatalogEntry | None:
    """A model of the list by another name that can be called: `default`, an ARN, its id without a geography."""
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


def _renderer(head: RequestHead) -> Any:
    return render_for_anthropic if _is_anthropic(head) else render_for_openai


def _openai_model(entry: CatalogEntry) -> dict[str, Any]:
    return {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owner}


def _anthropic_model(entry: CatalogEntry) -> dict[str, Any]:
    created = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.id, "created_at": created}


def _page(entries: list[CatalogEntry], query: dict[str, str]) -> dict[str, Any]:
    """A page of Anthropic's list.

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
