"""The endpoints `/v1/models`. With a header `anthropic-version` they answer in Anthropic's format."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.control_plane import ModelDirectory
from app.bedrock.mantle_models import MantleModels
from app.dialects.anthropic.errors import render_error as render_for_anthropic
from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.responses import JSON, Answer, CompleteResponse, ErrorRenderer, Headers
from app.dialects.openai.common.errors import render_error as render_for_openai
from app.dialects.openai.common.schemas import ERRORS, ModelList, ModelOut
from app.errors import GatewayError, InvalidRequest, ModelNotFound
from app.execution.policy_targets import allows_model
from app.execution.request_context import RequestContext
from app.models.catalog import CatalogEntry, short_entries
from app.models.ids import parse_model_id
from app.models.short_names import short_names_of
from app.routing.planner import DEFAULT_ALIAS, Planner, Target
from app.server.request_head import RequestHead
from app.wire import json
from app.wire.json import JsonObject

DIALECT = "models"
_log = logging.getLogger(__name__)
_PAGE, _MAX = 20, 1000
_UNKNOWN = dict.fromkeys(("capabilities", "deprecated_at", "max_input_tokens", "max_tokens", "retires_at"))


class _ModelHandler(Struct, frozen=True):
    """Lists models: aliases, short names, what the account can call, and the default model even without AWS."""

    directory: ModelDirectory
    planner: Planner
    mantle: MantleModels | None = None

    async def list_all(self, context: RequestContext) -> Answer:
        entries = await self._entries(context)
        if _is_anthropic(context.head):
            page = _page(entries, dict(parse_qsl(context.head.query)))
            return CompleteResponse(200, _headers(context), json.dumps(page))
        body = {"object": "list", "data": [_openai_model(entry) for entry in entries]}
        return CompleteResponse(200, JSON, json.dumps(body))

    async def retrieve_one(self, context: RequestContext) -> Answer:
        name = context.params["model"]
        to_body = _anthropic_model if _is_anthropic(context.head) else _openai_model
        entries = await self._entries(context)
        found = next((entry for entry in entries if entry.id == name), None)
        found = found or _called(name, self._model_of(name), entries) or self._only_on_mantle(name)
        if found is None or not self._may_call(context, name):
            raise ModelNotFound(f"the model {name!r} does not exist, or this account cannot call it", param="model")
        return CompleteResponse(200, _headers(context), json.dumps(to_body(found)))

    async def _entries(self, context: RequestContext) -> list[CatalogEntry]:
        entries = await listed_models(self.directory, self.planner, self.mantle)
        return [entry for entry in entries if self._may_call(context, entry.id)]

    def _may_call(self, context: RequestContext, name: str) -> bool:
        policy = context.caller.policy
        if policy is None or not policy.models:
            return True
        return allows_model(policy, name, self.planner.as_named(name) if self.planner.knows(name) else ())

    def _model_of(self, name: str) -> str:
        """Return the model that a name stands for, or the name if no model can have it."""
        try:
            return self.planner.as_named(name)[0].model.raw
        except InvalidRequest:
            return name

    def _only_on_mantle(self, name: str) -> CatalogEntry | None:
        """Return the entry of a model that only mantle serves, which mantle may not list."""
        target = _only_on_mantle(self.planner, name)
        return None if target is None else CatalogEntry(name, target.model_behind.base.partition(".")[0])


def _only_on_mantle(planner: Planner, name: str) -> Target | None:
    """Return the target of a name, if Converse does not serve it and this deployment calls it on mantle."""
    try:
        target = planner.as_named(name)[0]
    except InvalidRequest:
        return None
    return None if target.translated_to == "converse" else target


async def listed_models(
    directory: ModelDirectory, planner: Planner, mantle: MantleModels | None = None
) -> list[CatalogEntry]:
    """Return the deployment's own names, short names, what the account can call, and the default model.

    mantle: lists models that the directory does not know; None if this deployment does not use it.
    """
    aliases = [CatalogEntry(name, "outcrop") for name in planner.names()]
    named = {entry.id for entry in aliases}
    default = planner.known_as("")
    try:
        models = await directory.entries()
        known = {entry.id for entry in models}
        others = await mantle.entries() if mantle is not None else []
        others = [each for each in others if each.id not in known and _only_on_mantle(planner, each.id)]
        names = {**short_names_of(parse_model_id(each.id) for each in others), **planner.short_names}
        models = [*models, *others]
        listed = [*short_entries(names, models), *models]
        listed = [entry for entry in listed if entry.id not in named]
    except GatewayError as error:
        _log.warning("only the default model is listed: %s", error.message)
        listed = []
    if default in named or any(entry.id == default for entry in listed):
        return [*aliases, *listed]
    owner = "outcrop" if default == DEFAULT_ALIAS else parse_model_id(default).base.partition(".")[0]
    return [*aliases, CatalogEntry(default, owner), *listed]


def model_endpoints(
    directory: ModelDirectory, planner: Planner, mantle: MantleModels | None, prefix: str = "/v1"
) -> Sequence[EndpointSpec]:
    """Return the endpoints that list models, under a prefix. mantle: see `listed_models`."""
    handler = _ModelHandler(directory, planner, mantle)
    list_models = EndpointSpec(
        method="GET",
        path=f"{prefix}/models",
        dialect=DIALECT,
        handler=handler.list_all,
        render_error=render_for_openai,
        render_by_head=_renderer,
        name="list_models",
        summary="List models",
        description="List the deployment's own names, the vendors' names, and the models and inference profiles that "
        "the account can call. With a header `anthropic-version`, in Anthropic's format, paged by `limit`, `after_id` "
        "and `before_id`.",
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


def _called(wanted: str, name: str, listed: list[CatalogEntry]) -> CatalogEntry | None:
    """Find a model by another name that can be called: `default`, an ARN, its id without a geography, a short name.

    Args:
        name: what the wanted one stands for.
    """
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
    """Return an entry in Anthropic's format.

    What is not known is null. A model that its vendor will end is not listed.

    Source: docs/reference/contracts/anthropic-messages.md#models
    """
    return {
        "type": "model",
        "id": entry.id,
        "display_name": entry.title or entry.id,
        "created_at": datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "line": entry.line or None,
        **_UNKNOWN,
    }


def _page(entries: list[CatalogEntry], query: dict[str, str]) -> JsonObject:
    """Return a page of Anthropic's list.

    Raises:
        InvalidRequest: `limit` is not a number from 1 to 1000.

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
