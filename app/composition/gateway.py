"""The composition root: builds every part once, starts it, and closes it."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field

from app.bedrock.client import BedrockClient
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.credentials import make_providers
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation, resolve_endpoints
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport import Transport
from app.composition.deployment import planner_of
from app.config.settings import SMOKE, Settings, SettingsError
from app.dialects.http.endpoint import IngressLimits
from app.errors import InvalidRequest
from app.execution.executor import Executor
from app.execution.media import MediaFetcher, public_transport
from app.governance.address_permits import AddressPermits
from app.governance.admission import Admission, Bodies
from app.governance.guardrail import Guardrail
from app.governance.identity.authenticator import Authenticator
from app.governance.identity.failed_attempts import FailedAttempts
from app.models.ids import parse_model_id
from app.models.prices import Prices
from app.observability.load import Load
from app.observability.metrics import Metrics
from app.observability.trace import PassingTracer, Tracer, collects_spans
from app.routing.circuit_breakers import Breakers
from app.routing.failover import Failover
from app.routing.planner import Target
from app.server.client_address import TrustedProxies
from app.server.worker_context import WorkerContext
from app.server.worker_counters import CallerCounters, WorkerCounters
from app.storage.responses import MemoryResponses, ResponseStore

_PROBE_SECONDS = 5.0
_LAST_SPANS_SECONDS = 3.0
# bytes a second: bodies of those who may be nobody hold others out for no longer than a slow line needs
_UNVERIFIED_PACE = 128 * 1024


class Gateway(Struct):
    """All parts of a running gateway. clients: those of Bedrock, by place."""

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
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _leave: Callable[[], None] = field(default=lambda: None)

    @property
    def client(self) -> BedrockClient:
        """The client of the gateway's own region and account."""
        return self.clients[DEFAULT_LOCATION]

    async def start(self) -> None:
        """Begin to resolve credentials and to look whether Bedrock can be reached; waits for neither."""
        self._leave = self.worker_context.begin(self.metrics.render)
        for client in self.clients.values():
            client.credentials.start()
        self._tasks.append(asyncio.create_task(self._probe(), name="prober"))
        self._tasks.append(asyncio.create_task(self.load.watch(self.metrics.note_lag), name="lag"))
        if self.load_interval:
            self._tasks.append(asyncio.create_task(self.load.report(self.load_interval), name="load"))

    async def close(self) -> None:
        """Stop everything that runs, and close every connection."""
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
        await self.tracer.close(_LAST_SPANS_SECONDS)

    def render_metrics(self) -> bytes:
        """What all processes count and measure, in Prometheus's text format. Blocks for some tens of milliseconds."""
        return self.worker_context.render(self.metrics.render)

    def reasons_not_ready(self) -> list[str]:
        """Why requests should not be sent here; empty when they should, since some place can be asked."""
        reasons: list[str] = []
        for location, client in self.clients.items():
            problems = {"credentials": client.credentials.problem, "bedrock": client.reachability.problem}
            found = [f"{part}{_in(location)}: {problem}" for part, problem in problems.items() if problem]
            if not found:
                return []
            reasons += found
        return reasons

    def breakers(self) -> dict[str, str]:
        """The targets of this deployment's names whose breakers are not closed, and what they are instead.

        Callers choose other names, and whoever asks needs no key: so only these are told. Of several by one name, such
        as a model's on two surfaces or in two accounts, the one that is open.
        """
        ours = {target.model.raw for name in (*self.executor.planner.names(), "") for target in self._targets(name)}
        states: dict[str, str] = {}
        for key, state in self.executor.failover.breakers.states().items():
            match key:
                case (str(model), UpstreamLocation() as location, _) if model in ours:
                    name = f"{_short(model)}{_in(location)}"
                    states[name] = state if states.get(name) != "open" else "open"
        return states

    def _targets(self, name: str) -> list[Target]:
        return self.executor.planner.plan(name) + self.executor.planner.as_named(name)

    async def _probe(self) -> None:
        """Look again, by connecting and hanging up, for as long as a place was unreachable when last seen."""
        while True:
            for client in self.clients.values():
                if client.reachability.problem:
                    origin = client.endpoints["bedrock-runtime"].origin
                    client.reachability.problem = await self.transport.probe(origin)
            await asyncio.sleep(_PROBE_SECONDS)


def _short(model: str) -> str:
    """A model's name without the account that an ARN has in it."""
    return model.split(":", 5)[5] if model.startswith("arn:") else model


def _transport(settings: Settings) -> Http1Transport:
    try:
        return Http1Transport(settings.bedrock_connect_timeout, settings.bedrock_read_timeout, settings.aws_ca_bundle)
    except ValueError as error:
        raise SettingsError([str(error)]) from None


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
    """A model's name without account, region and geography."""
    try:
        return _short(parse_model_id(model).base)
    except InvalidRequest:
        return model


def _in(location: UpstreamLocation) -> str:
    return (
        f" in {location.region or location.endpoint_url or 'another account'}" if location != DEFAULT_LOCATION else ""
    )


def build_gateway(settings: Settings, worker_context: WorkerContext) -> Gateway:
    """Put the parts together. Nothing runs, and nothing is connected, before `start`.

    Raises:
        SettingsError: what the configuration says of names cannot be, the environment names a proxy that is none, or
            Bedrock is not to be had as the environment asks for it.
    """
    planner = planner_of(settings)
    transport = _transport(settings)
    retry = RetryPolicy(settings.bedrock_max_attempts, max_wait=settings.bedrock_retry_max_wait)
    # home is asked for first
    locations = dict.fromkeys(
        [DEFAULT_LOCATION, *(choice.location for route in planner.routes.values() for choice in route.choices)]
    )
    providers = make_providers(settings, locations)
    clients = {
        location: BedrockClient(
            endpoints=endpoints,
            credentials=providers[location],
            signer=Signer(location.region or settings.aws_region),
            transport=transport,
            retry=retry,
        )
        for location, endpoints in resolve_endpoints(settings, locations).items()
    }
    directory = ModelDirectory(clients[DEFAULT_LOCATION])
    metrics, load = Metrics(_base_of), Load(worker_context.processes)
    ingress_limits = _ingress_limits(settings, worker_context.counters, metrics)
    metrics.watch("in_flight", "Requests that run now.", lambda: load.in_flight)
    metrics.watch("waiting", "Requests that wait for a permit.", lambda: ingress_limits.admission.counters.waiting.own)
    gateway = Gateway(
        clients=clients,
        transport=transport,
        directory=directory,
        executor=Executor.over(
            clients,
            planner,
            Failover(retry, Breakers(settings.breaker_failures, settings.breaker_seconds, settings.retry_budget)),
            guardrail=Guardrail(settings.guardrail_id, settings.guardrail_version) if settings.guardrail_id else None,
            find_profile=directory.profile_of,
            find_behind=lambda target, timeout: directory.look_up(
                target.known, planner.behind, clients[target.location], timeout
            ),
            media=_media(settings),
        ),
        ingress_limits=ingress_limits,
        proxies=_proxies(settings),
        responses=_responses(settings),
        prices=Prices({base: row.model_dump(exclude_none=True) for base, row in settings.config().prices.items()}),
        metrics=metrics,
        tracer=_tracer(),
        load=load,
        load_interval=settings.load_log_interval,
        worker_context=worker_context,
    )
    metrics.watch_breakers(gateway.breakers)
    return gateway


def _ingress_limits(settings: Settings, counters: WorkerCounters, metrics: Metrics) -> IngressLimits:
    unverified_bytes = max(settings.max_bodies_bytes // 2, settings.max_body_bytes)
    unverified_permits = max(settings.max_in_flight // 10, 1)
    by_name = _by_name(settings, counters.callers)
    queue = settings.max_waiting, settings.max_wait
    return IngressLimits(
        authenticator=Authenticator(settings.keys(), disabled=settings.auth_disabled),
        admission=Admission(settings.max_in_flight, *queue, counters.gateway.admission),
        unverified=Admission(unverified_permits, *queue, counters.gateway.unverified),
        unverified_of_each={
            name: Admission(max(unverified_permits // 2, 1), *queue, each.unverified) for name, each in by_name.items()
        },
        # half of the permits of one name
        address_permits=AddressPermits(max(unverified_permits // 4, 1), *queue),
        failed_attempts=FailedAttempts(),
        bodies=Bodies(
            settings.max_bodies_bytes,
            counters.gateway.body_bytes,
            _half(settings, settings.max_bodies_bytes),
            {name: each.body_bytes for name, each in by_name.items()},
        ),
        unverified_bodies=Bodies(
            unverified_bytes,
            counters.gateway.unverified_body_bytes,
            _half(settings, unverified_bytes),
            {name: each.unverified_body_bytes for name, each in by_name.items()},
            _UNVERIFIED_PACE,
        ),
        max_body_bytes=settings.max_body_bytes,
        caller_timeout=settings.caller_timeout,
        total_timeout=settings.bedrock_total_timeout,
        heartbeat=settings.heartbeat_interval,
        note_gap=metrics.note_gap,
    )


def _half(settings: Settings, limit: int) -> int:
    return max(limit // 2, settings.max_body_bytes)


def _by_name(settings: Settings, counters: list[CallerCounters]) -> dict[str, CallerCounters]:
    """Return the counters of the callers that must leave half of each limit to others; a single caller need not."""
    names = [*settings.keys()]
    if len(names) < 2:
        return {}
    by_name = dict(zip(names, counters or [CallerCounters() for _ in names], strict=True))
    callers = [name for name in names if name != SMOKE]
    if len(callers) == 1:
        del by_name[callers[0]]
    return by_name


def _proxies(settings: Settings) -> TrustedProxies | None:
    try:
        return TrustedProxies(settings.forwarded_allow_ips) if settings.forwarded_allow_ips else None
    except ValueError as error:
        raise SettingsError([f"FORWARDED_ALLOW_IPS={settings.forwarded_allow_ips!r}: {error}"]) from None


def _responses(settings: Settings) -> ResponseStore:
    kind, _, path = settings.responses_store.partition(":///")
    if kind == "memory":
        return MemoryResponses(settings.responses_lifetime)
    # who does not need SQLite does not pay for it, in memory and at the start
    from app.storage.responses_sqlite import SqliteResponses

    try:
        return SqliteResponses(Path(path), settings.responses_lifetime)
    except OSError as error:
        raise SettingsError([f"RESPONSES_STORE={settings.responses_store!r}: cannot be used: {error}"]) from None
