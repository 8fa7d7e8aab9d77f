"""The composition root: builds every part once, starts it, and closes it."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from app.bedrock.client import BedrockClient
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.credentials import make_providers
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation, resolve_endpoints
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.mantle_models import MantleModels
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport import Transport
from app.composition.attempts import govern, guardrail_of
from app.composition.authentication import build_authenticator
from app.composition.database import key_directory_of, open_database, prepare_database
from app.composition.deployment import planner_of, prices_of
from app.composition.governance import Governance, build_governance
from app.composition.identity import build_external_callers
from app.composition.ingress import build_ingress_limits
from app.composition.quotas import build_quotas, knows_quotas
from app.composition.upkeep import build_upkeep
from app.config.settings import Settings, SettingsError
from app.converse.call import Surface
from app.dialects.http.endpoint import IngressLimits
from app.errors import InvalidRequest
from app.execution.executor import Executor
from app.execution.media import MediaFetcher
from app.execution.public_names import public_transport
from app.models.ids import parse_model_id
from app.models.prices import Prices
from app.observability.load import Load
from app.observability.metrics import Metrics
from app.observability.observer import Tracer
from app.observability.trace import PassingTracer, collects_spans
from app.routing.circuit_breakers import Breakers
from app.routing.failover import Failover
from app.routing.planner import Planner, Target
from app.server.client_address import TrustedProxies
from app.server.worker_context import WorkerContext
from app.storage.responses import MemoryResponses, ResponseStore

if TYPE_CHECKING:
    from app.composition.quotas import BedrockQuotas
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.virtual_keys import KeyDirectory
    from app.governance.maintenance.upkeep import Upkeep
    from app.storage.database import Database

_log = logging.getLogger(__name__)

_PROBE_SECONDS = 5.0
_LAST_SPANS_SECONDS = 3.0


class Gateway(Struct):
    """All parts of a running gateway.

    mantle_models: what mantle lists; None if it is not used.
    clients: those of Bedrock, by location. database: with DATABASE_URL; its schema is migrated at the start if
    `migrates`. key_directory: of the keys in it. external_callers: finds callers by tokens and certificates.
    upkeep: what runs beside the requests then. governance: limits, budgets and the ledger.
    """

    clients: Mapping[UpstreamLocation, BedrockClient]
    transport: Transport
    directory: ModelDirectory
    executor: Executor
    ingress_limits: IngressLimits
    proxies: TrustedProxies | None
    responses: ResponseStore
    prices: Prices
    metrics: Metrics
    tracer: Tracer
    load: Load
    load_interval: float
    worker_context: WorkerContext
    mantle_models: MantleModels | None = None
    quotas: "BedrockQuotas | None" = None
    database: "Database | None" = None
    key_directory: "KeyDirectory | None" = None
    external_callers: "ExternalCallers | None" = None
    migrates: bool = False
    upkeep: "Upkeep | None" = None
    governance: Governance | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _leave: Callable[[], None] = field(default=lambda: None)

    @property
    def client(self) -> BedrockClient:
        """The client of the gateway's own region and account."""
        return self.clients[DEFAULT_LOCATION]

    async def start(self) -> None:
        """Begin to resolve credentials and to probe the connection to Bedrock, without waiting for either.

        Raises:
            SettingsError: the database cannot be used.
        """
        if self.database is not None:
            await prepare_database(self.database, migrate=self.migrates)
        if self.governance is not None:
            await self.governance.start()
        if self.upkeep is not None:
            self.upkeep.start()
        if self.key_directory is not None:
            self.key_directory.start()
        if self.quotas is not None:
            self.quotas.start(self.clients, self.directory)
        self._leave = self.worker_context.begin(self._render_own_metrics)
        for client in self.clients.values():
            client.credentials.start()
        self._tasks.append(asyncio.create_task(self._probe(), name="prober"))
        self._tasks.append(asyncio.create_task(self.load.watch(self.metrics.note_lag), name="lag"))
        if self.load_interval:
            self._tasks.append(asyncio.create_task(self.load.report(self.load_interval), name="load"))

    async def close(self) -> None:
        """Stop all tasks and close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._leave()
        self.responses.close()
        await self.directory.close()
        for client in self.clients.values():
            await client.credentials.close()
        await self.transport.close()
        if self.executor.media is not None:
            await self.executor.media.close()
        if self.quotas is not None:
            await self.quotas.close()
        await self.tracer.close(_LAST_SPANS_SECONDS)
        if self.governance is not None:
            await self.governance.close()
        if self.upkeep is not None:
            await self.upkeep.close()
        if self.external_callers is not None:
            await self.external_callers.close()
        if self.key_directory is not None:
            await self.key_directory.close()
        if self.database is not None:
            await self.database.close()

    def render_metrics(self) -> bytes:
        """Return the metrics of all processes in Prometheus's text format. Blocks for some tens of milliseconds."""
        return self.worker_context.render(self._render_own_metrics)

    def _render_own_metrics(self) -> bytes:
        from app.observability.exposition import render  # its library takes a megabyte, and many are never asked

        return render(self.metrics.all)

    def reasons_not_ready(self) -> list[str]:
        """Return why no location can take calls; empty if one can."""
        reasons: list[str] = []
        for location, client in self.clients.items():
            problems = {"credentials": client.credentials.obstacle, "bedrock": client.reachability.problem}
            found = [f"{part}{_in(location)}: {problem}" for part, problem in problems.items() if problem]
            if not found:
                return []
            reasons += found
        return reasons

    def breakers(self, shows: Callable[[str], bool] = lambda _: False) -> dict[str, str]:
        """Return the state of the breakers that are not closed, for the targets of this deployment's names.

        Of several targets by one name, such as a model's on two surfaces or in two accounts, an open one is shown.

        Args:
            shows: whether a model that callers named is shown too. By default none is: readiness needs no key.
        """
        ours = {target.model.raw for name in (*self.executor.planner.names(), "") for target in self._targets(name)}
        states: dict[str, str] = {}
        for key, state in self.executor.failover.breakers.states().items():
            match key:
                case (str(model), UpstreamLocation() as location, _) if model in ours or shows(model):
                    name = f"{_short(model)}{_in(location)}"
                    states[name] = state if states.get(name) != "open" else "open"
        return states

    def _targets(self, name: str) -> list[Target]:
        return self.executor.planner.plan(name) + self.executor.planner.as_named(name)

    async def _probe(self) -> None:
        """Connect repeatedly to each location that was unreachable at the last attempt, until it can be reached."""
        unreachable: set[UpstreamLocation] = set()
        while True:
            for location, client in self.clients.items():
                if client.reachability.problem:
                    origin = client.endpoints["bedrock-runtime"].origin
                    client.reachability.problem = await self.transport.probe(origin)
                problem = client.reachability.problem
                if problem and location not in unreachable:
                    unreachable.add(location)
                    _log.warning("Bedrock cannot be reached%s: %s", _in(location), problem)
                elif location in unreachable and not problem:
                    unreachable.remove(location)
                    _log.info("Bedrock can be reached again%s", _in(location))
            await asyncio.sleep(_PROBE_SECONDS)


def _short(model: str) -> str:
    """Return a model's name without the account in an ARN."""
    return model.split(":", 5)[5] if model.startswith("arn:") else model


def _locations(planner: Planner) -> dict[UpstreamLocation, None]:
    """Return the locations of all targets, the gateway's own first."""
    named = (choice.location for route in planner.routes.values() for choice in route.choices)
    return dict.fromkeys([DEFAULT_LOCATION, *named])


def _clients(
    settings: Settings, locations: Mapping[UpstreamLocation, None], transport: Transport, retry: RetryPolicy
) -> dict[UpstreamLocation, BedrockClient]:
    providers = make_providers(settings, locations)
    return {
        location: BedrockClient(
            endpoints=endpoints,
            credentials=providers[location],
            signer=Signer(location.region or settings.aws_region),
            transport=transport,
            retry=retry,
        )
        for location, endpoints in resolve_endpoints(settings, locations).items()
    }


def _transport(settings: Settings) -> Http1Transport:
    try:
        return Http1Transport(settings.bedrock_connect_timeout, settings.bedrock_read_timeout, settings.aws_ca_bundle)
    except ValueError as error:
        raise SettingsError([str(error)]) from None


def _breakers(settings: Settings) -> Breakers:
    seconds, share = settings.breaker_seconds, settings.retry_budget
    return Breakers(settings.breaker_failures, seconds, share, has_several_callers=settings.has_several_callers())


def _media(settings: Settings) -> MediaFetcher | None:
    if not settings.fetch_media:
        return None
    seconds = settings.fetch_media_timeout
    return MediaFetcher(public_transport(seconds, settings.aws_ca_bundle), settings.fetch_media_bytes, seconds)


def _tracer() -> Tracer:
    try:
        if not collects_spans(os.environ):
            return PassingTracer()
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    from app.observability.tracing import OpenTelemetryTracer

    return OpenTelemetryTracer()


def _base_of(model: str) -> str:
    """Return a model's name without account, region and geography."""
    try:
        return _short(parse_model_id(model).base)
    except InvalidRequest:
        return model


def _in(location: UpstreamLocation) -> str:
    """Name a location, without the address of its endpoint."""
    if location == DEFAULT_LOCATION:
        return ""
    return f" in {location.region or ('another account' if location.role else 'another endpoint')}"


def build_gateway(settings: Settings, worker_context: WorkerContext, *, governs: bool = True) -> Gateway:
    """Build the parts. Nothing runs, and nothing is connected, before `start`.

    governs: hold calls to limits and budgets, and charge them, which needs `start`.

    Raises:
        SettingsError: names in the configuration file are invalid, the environment names an invalid proxy, or the
            endpoints of Bedrock are invalid.
    """
    planner, transport = planner_of(settings), _transport(settings)
    retry = RetryPolicy(settings.bedrock_max_attempts, max_wait=settings.bedrock_retry_max_wait)
    clients = _clients(settings, _locations(planner), transport, retry)
    directory = ModelDirectory(clients[DEFAULT_LOCATION], settings.aws_region, planner.record_models)
    database, proxies = open_database(settings), _proxies(settings)
    metrics, load, prices = Metrics(_base_of), Load(worker_context.processes), prices_of(settings)
    key_directory = key_directory_of(settings, database)
    external = build_external_callers(settings, database, key_directory, proxies)
    authenticator = build_authenticator(settings, key_directory, external)
    ingress_limits = build_ingress_limits(settings, worker_context.counters, metrics, authenticator)
    governance = build_governance(settings, database, prices, metrics) if governs else None
    quotas = build_quotas(settings, worker_context.processes, governance) if knows_quotas(settings) else None
    gateway = Gateway(
        clients=clients,
        transport=transport,
        directory=directory,
        executor=Executor.over(
            clients,
            planner,
            Failover(retry, _breakers(settings)),
            guardrail=guardrail_of(settings, reports=database is not None),
            govern=govern(governance, quotas, names_tiers=any(route.names_tiers for route in planner.routes.values())),
            check_charges=governance.check_charges() if governance else None,
            find_profile=directory.profile_of,
            find_model=lambda target, timeout: (
                directory.look_up(target.model_behind, planner.behind, clients[target.location], timeout)
                if target.model_behind.is_opaque
                else directory.read(timeout)
            ),
            media=_media(settings),
        ),
        ingress_limits=ingress_limits,
        proxies=proxies,
        responses=_responses(settings),
        prices=prices,
        metrics=metrics,
        tracer=_tracer(),
        load=load,
        load_interval=settings.load_log_interval,
        worker_context=worker_context,
        mantle_models=MantleModels(clients[DEFAULT_LOCATION]) if Surface.MANTLE in planner.native_surfaces else None,
        quotas=quotas,
        database=database,
        key_directory=key_directory,
        external_callers=external,
        migrates=settings.migrate_at_start,
        upkeep=build_upkeep(settings, database, None if governance is None else governance.teams, metrics.totals),
        governance=governance,
    )
    _watch(gateway)
    return gateway


def _watch(gateway: Gateway) -> None:
    """Add to the metrics what is read when they are rendered."""
    metrics, load, waiting = gateway.metrics, gateway.load, gateway.ingress_limits.admission.counters.waiting
    metrics.watch("in_flight", "Requests that run now.", lambda: load.in_flight)
    metrics.watch("waiting", "Requests that wait for a permit.", lambda: waiting.own)
    metrics.watch_breakers(lambda: gateway.breakers(metrics.has_answered))
    if gateway.quotas is not None:
        metrics.watch_quotas(gateway.quotas.figures, gateway.quotas.sources)


def _proxies(settings: Settings) -> TrustedProxies | None:
    try:
        return TrustedProxies(settings.forwarded_allow_ips) if settings.forwarded_allow_ips else None
    except ValueError as error:
        raise SettingsError([f"FORWARDED_ALLOW_IPS={settings.forwarded_allow_ips!r}: {error}"]) from None


def _responses(settings: Settings) -> ResponseStore:
    kind, _, path = settings.responses_store.partition(":///")
    if kind == "memory":
        return MemoryResponses(settings.responses_lifetime)
    # only deployments that use SQLite load it
    from app.storage.responses_sqlite import SqliteResponses

    try:
        return SqliteResponses(Path(path), settings.responses_lifetime)
    except OSError as error:
        raise SettingsError([f"RESPONSES_STORE={settings.responses_store!r}: cannot be used: {error}"]) from None
