"""`GET /v1/models`, in OpenAI's shape."""

import logging
from collections.abc import Sequence

from app.bedrock.control import ModelDirectory
from app.dialects.envelopes import JSON, Answer, Whole
from app.dialects.openai_chat.errors import render_error
from app.dialects.openai_chat.router import DIALECT, ERRORS
from app.dialects.openai_chat.schema_out import ModelList, ModelOut
from app.dialects.route import Door, Threshold
from app.errors import GatewayError, ModelNotFound
from app.kit import json
from app.models.catalog import CatalogEntry
from app.models.ids import parse_model_id
from app.pipeline.exchange import Exchange

_log = logging.getLogger(__name__)


def model_routes(directory: ModelDirectory, default_model: str, threshold: Threshold) -> Sequence[Door]:
    """The routes that list models: what the account can call, and the default model even where AWS does not list it."""

    async def entries() -> list[CatalogEntry]:
        try:
            listed = await directory.entries()
        except GatewayError as error:
            _log.warning("only the default model is listed: %s", error.message)
            listed = []
        if any(entry.id == default_model for entry in listed):
            return listed
        owner = parse_model_id(default_model).base.partition(".")[0]
        return [CatalogEntry(default_model, owner), *listed]

    async def list_all(_: Exchange) -> Answer:
        data = [_model(entry) for entry in await entries()]
        return Whole(200, JSON, json.dumps({"object": "list", "data": data}))

    async def retrieve_one(exchange: Exchange) -> Answer:
        wanted = exchange.params["model"]
        for entry in await entries():
            if entry.id == wanted:
                return Whole(200, JSON, json.dumps(_model(entry)))
        raise ModelNotFound(f"the model {wanted!r} does not exist, or this account cannot call it", param="model")

    async def list_models() -> ModelList:
        """List the models and inference profiles that the account can call."""
        raise AssertionError

    async def retrieve_model(model: str) -> ModelOut:
        """Describe one model by its id."""
        raise AssertionError(model)

    routes = (
        ("/v1/models", list_models, list_all, "List models"),
        ("/v1/models/{model:path}", retrieve_model, retrieve_one, "Retrieve a model"),
    )
    return [
        Door(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_error,
            threshold=threshold,
            methods=["GET"],
            tags=["OpenAI"],
            summary=summary,
            responses=ERRORS,
        )
        for path, documented, handler, summary in routes
    ]


def _model(entry: CatalogEntry) -> dict[str, object]:
    return {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owner}
