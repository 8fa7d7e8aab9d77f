"""The application: routers, middleware and lifespan, and nothing else.

`python -m app` and `uvicorn app.main:app` both serve it.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from app import __version__
from app.dialects.bedrock.router import bedrock_routes
from app.dialects.openai_chat.models import model_routes
from app.dialects.openai_chat.router import chat_routes
from app.dialects.route import RECORD
from app.dialects.unknown import renderer_for
from app.errors import GatewayError, MethodNotAllowed, NotFound
from app.gateway import build_gateway
from app.middleware import RequestMiddleware
from app.ops.health import health_router
from app.settings import Settings, SettingsError, load_settings
from app.telemetry.logs import LogObserver, configure_logging
from app.telemetry.observer import Observer

_DESCRIPTION = """
One HTTP address for Amazon Bedrock: for programs that speak OpenAI, and for programs that speak Bedrock itself.

Send a key as `Authorization: Bearer …` or as `x-api-key`, or sign with SigV4 (access key id = the key's name, secret
access key = the key). Every answer has an `x-request-id`; a caller's own is taken over. `x-outcrop-ignored` names
fields without effect, `x-outcrop-repaired` changes that were needed for the model.
"""
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "One of API_KEYS."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "One of API_KEYS."},
    "sigv4": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `bedrock`; the pair is a key's name and its secret.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}
_TAGS = [
    {"name": "OpenAI", "description": "For programs that speak OpenAI."},
    {"name": "Bedrock", "description": "For programs that speak Amazon Bedrock, at AWS's own paths."},
    {"name": "Operations", "description": "For those who run the gateway; no key is needed."},
]


def create_app(settings: Settings, observer: Observer | None = None) -> FastAPI:
    """The application for these settings. Nothing is connected before its lifespan starts."""
    gateway = build_gateway(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.close()

    application = FastAPI(
        title="Outcrop",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    application.router.routes += [
        *chat_routes(gateway.pipeline, gateway.threshold),
        *model_routes(gateway.directory, settings.bedrock_model_id, gateway.threshold),
        *bedrock_routes(gateway.pipeline, gateway.threshold),
    ]
    application.include_router(health_router(gateway.reasons_not_ready))

    @application.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    application.add_exception_handler(HTTPException, _answer_without_door)
    application.add_middleware(RequestMiddleware, observer=observer or LogObserver())
    application.openapi = lambda: _openapi(application)  # type: ignore[method-assign]
    return application


async def _answer_without_door(request: Request, exception: Exception) -> Response:
    path = request.url.path
    error: GatewayError
    if isinstance(exception, HTTPException) and exception.status_code == MethodNotAllowed.status:
        error = MethodNotAllowed(f"{path} does not take {request.method}")
    else:
        error = NotFound(f"there is no {request.method} {path}")
    render = renderer_for(path, request.headers.get("authorization", ""))
    whole = render(error, request.scope[RECORD].request_id)
    return Response(whole.body, whole.status, dict(whole.headers))


def _openapi(application: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the security schemes on every path that needs a key."""
    if application.openapi_schema is None:
        document = get_openapi(
            title=application.title,
            version=application.version,
            description=application.description,
            routes=application.routes,
            tags=application.openapi_tags,
        )
        document.setdefault("components", {})["securitySchemes"] = _SECURITY
        for item in document["paths"].values():
            for operation in item.values():
                if "Operations" not in operation.get("tags", ()):
                    operation["security"] = [{name: []} for name in _SECURITY]
                    operation["responses"].pop("422", None)
        application.openapi_schema = document
    return application.openapi_schema


def settings_or_exit() -> Settings:
    """The settings; where they are wrong, every fault is printed and the process ends with code 2."""
    try:
        return load_settings()
    except SettingsError as error:
        lines = "".join(f"  - {fault}\n" for fault in error.faults)
        sys.stderr.write(f"Outcrop cannot start: its environment is wrong.\n{lines}See DEPLOYMENT.md.\n")
        raise SystemExit(2) from None


def __getattr__(name: str) -> FastAPI:
    """Make `app` when uvicorn asks for it: importing this module reads no environment."""
    if name != "app":
        raise AttributeError(name)
    settings = settings_or_exit()
    configure_logging(settings.log_level)
    return create_app(settings)
