"""Makes the application: endpoints, middleware and lifespan.

`python -m app` and `uvicorn app.main:app` both serve it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from app import __version__
from app.admin.browser_documents import browser_document_routes
from app.admin.direct_route import DirectRoute
from app.admin.health import health_routes
from app.admin.metrics import metrics_route
from app.composition.administration import open_administration
from app.composition.gateway import Gateway, build_gateway
from app.config.entries import parse_origins
from app.config.environment import faults_end_the_start, load_settings
from app.config.settings import Settings
from app.console.entry import console_routes
from app.console.parts import ConsoleParts
from app.dialects.anthropic.endpoints import message_endpoints
from app.dialects.bedrock.endpoints import bedrock_endpoints
from app.dialects.cohere.endpoints import rerank_endpoints
from app.dialects.http.cross_origin import allow_origins
from app.dialects.http.endpoint_spec import EndpointSpec, aliases_of
from app.dialects.http.middleware import RequestMiddleware
from app.dialects.http.openapi_route import openapi_route
from app.dialects.http.route_table import RouteTable
from app.dialects.openai.chat.endpoints import chat_endpoints
from app.dialects.openai.embeddings.endpoints import embedding_endpoints
from app.dialects.openai.responses.background import BackgroundResponses
from app.dialects.openai.responses.endpoints import response_endpoints
from app.dialects.shared_paths.model_list import model_endpoints
from app.dialects.shared_paths.unknown_routes import answer_unknown_route
from app.observability.logs import LogObserver, configure_logging
from app.observability.metrics import CONTENT_TYPE
from app.observability.observer import Observer
from app.server.asgi_extensions import TASKS
from app.server.worker_context import WorkerContext
from app.wire.json import JsonObject

# the second is bedrock-access-gateway's, for its callers
OPENAI_PREFIXES = ("/v1", "/api/v1")
# FastAPI's own spans would hold paths and queries
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


class Application(FastAPI):
    """The application. What describes it is loaded, and built, when its OpenAPI page is requested.

    Args:
        specs: its endpoints. routes: what serves other paths.
    """

    def __init__(
        self, specs: Sequence[EndpointSpec], routes: Sequence[BaseRoute], lifespan: Lifespan["Application"]
    ) -> None:
        super().__init__(
            title="Outcrop",
            version=__version__,
            exception_handlers={HTTPException: answer_unknown_route},
            lifespan=lifespan,
            redirect_slashes=False,
            openapi_url=None,  # FastAPI's own route writes the document anew for each request
            telemetry=_NO_TELEMETRY,
        )
        self.router.routes += [openapi_route(self.openapi), *routes]
        self._specs = specs

    def openapi(self) -> JsonObject:
        """Return the OpenAPI document."""
        from app.dialects.http.openapi import openapi_document

        return openapi_document(self, self._specs)


def create_app(
    settings: Settings, observer: Observer | None = None, worker_context: WorkerContext | None = None
) -> Application:
    """Make the application for these settings. It connects to nothing before its lifespan starts.

    Args:
        observer: gets the records of requests, instead of the log. worker_context: shared with other processes.
    """
    gateway = build_gateway(settings, worker_context or WorkerContext())
    background = BackgroundResponses(gateway.responses)
    administration = open_administration(
        settings, gateway.ingress_limits.failed_attempts, gateway.external_callers, gateway.quotas
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        await gateway.start()
        try:
            yield {TASKS: background.tasks}
        finally:
            await background.close()
            await gateway.close()
            if administration is not None:
                await administration.close()

    specs = endpoints_of(settings, gateway, background)
    routes = _other_routes(settings, gateway)
    if administration is not None:
        specs += administration.own
        routes.append(administration.routes)
    route_table = RouteTable(specs, gateway.ingress_limits)
    observers = [gateway.metrics, observer or LogObserver(log_format=settings.log_format)]
    if settings.console:
        database = None if administration is None else administration.database
        routes += console_routes(ConsoleParts(settings, gateway, route_table, observers, database))
    application = Application(specs, routes, lifespan)
    origins = parse_origins(settings.cors_origins)
    application.middleware_stack = RequestMiddleware(
        _pages_of(application),
        observers=observers,
        load=gateway.load,
        prices=gateway.prices,
        tracer=gateway.tracer,
        route_table=route_table,
        proxies=gateway.proxies,
        origins=origins,
    )
    background.serve = application.middleware_stack
    if origins:
        application.middleware_stack = allow_origins(application.middleware_stack, origins)
    return application


def _pages_of(application: FastAPI) -> ASGIApp:
    """Return what serves the paths that are not in the route table, and the lifespan."""
    pages = application.build_middleware_stack()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = application
        await pages(scope, receive, send)

    return serve


def without_fastapi(application: FastAPI) -> ASGIApp:
    """Return what serves requests before FastAPI sees them: its own call costs as much as finding an endpoint."""
    return application.middleware_stack or application


def _other_routes(settings: Settings, gateway: Gateway) -> list[BaseRoute]:
    """Return what serves operators and browsers, and what clients ask for before they know an endpoint."""
    return [
        *health_routes(gateway.reasons_not_ready, gateway.breakers),
        metrics_route(gateway.render_metrics, CONTENT_TYPE, settings.metrics_secret()),
        *browser_document_routes(),
        DirectRoute("/", _redirect),
        # Claude Code asks for it at each start, to open its connection (2.1.332)
        DirectRoute("/api/hello", _greet),
    ]


async def _redirect(_: Request) -> Response:
    return RedirectResponse("/docs")


async def _greet(_: Request) -> Response:
    return Response(status_code=204)


def endpoints_of(settings: Settings, gateway: Gateway, background: BackgroundResponses) -> list[EndpointSpec]:
    """Return the endpoints of all dialects."""
    executor = gateway.executor
    specs: list[EndpointSpec] = []
    for prefix in OPENAI_PREFIXES:
        specs += chat_endpoints(executor, prefix)
        specs += embedding_endpoints(executor, settings.embedding_model_id or "", prefix)
        specs += model_endpoints(gateway.directory, executor.planner, gateway.mantle_models, prefix)
    specs += response_endpoints(executor, gateway.responses, settings.signing_secrets(), background)
    messages = [
        *message_endpoints(executor),
        *model_endpoints(gateway.directory, executor.planner, gateway.mantle_models),
    ]
    # AWS's own paths of these APIs, so that a client of AWS's only changes its host
    aliases = [*aliases_of(specs, "/openai"), *aliases_of(messages, "/anthropic")]
    return [*specs, *rerank_endpoints(executor), *message_endpoints(executor), *bedrock_endpoints(executor), *aliases]


def __getattr__(name: str) -> Application:
    """Make `app` on first use: importing this module reads no environment."""
    if name != "app":
        raise AttributeError(name)
    with faults_end_the_start():
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        return create_app(settings)
