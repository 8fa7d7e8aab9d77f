"""The composition root: builds every part once, starts it, and closes it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.bedrock.client import BedrockClient
from app.bedrock.control import ModelDirectory
from app.bedrock.credentials import CredentialsProvider, make_resolver
from app.bedrock.endpoints import HOME, Place, resolve_endpoints
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport import Transport
from app.bedrock.transport_aiohttp import AiohttpTransport
from app.config_file import ConfigFile
from app.dialects.route import Threshold
from app.models.ids import parse_model_id
from app.models.prices import Prices
from app.pipeline.run import Pipeline
from app.policies.auth import Authenticator
from app.routing.failover import Failover
from app.routing.health import Breakers, RetryBudget
from app.routing.plan import Choice, Planner, Route
from app.settings import Settings
from app.storage.responses import MemoryResponses, ResponseStore
from app.telemetry.load import Load

_PROBE_SECONDS = 5.0


@dataclass(slots=True)
class Gateway:
    """All parts of a running gateway. clients: those of Bedrock, by place."""

    clients: Mapping[Place, BedrockClient]
    transport: Transport
    directory: ModelDirectory
    pipeline: Pipeline
    threshold: Threshold
    responses: ResponseStore
    prices: Prices
    load: Load
    load_interval: float
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def client(self) -> BedrockClient:
        """The client of the gateway's own region and account."""
        return self.clients[HOME]

    async def start(self) -> None:
        """Begin to resolve credentials and to look whether Bedrock can be reached; waits for neither."""
        for client in self.clients.values():
            client.credentials.start()
        self._tasks.append(asyncio.create_task(self._probe(), name="prober"))
        if self.load_interval:
            self._tasks.append(asyncio.create_task(self.load.report(self.load_interval), name="load"))

    async def close(self) -> None:
        """Stop everything that runs, and close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.responses.close()
        await self.directory.close()
        for client in self.clients.values():
            await client.credentials.close()
        await self.transport.close()

    def reasons_not_ready(self) -> list[str]:
        """Why requests should not be sent here; empty when they should."""
        problems = {"credentials": self.client.credentials.problem, "bedrock": self.client.reachability.problem}
        return [f"{part}: {problem}" for part, problem in problems.items() if problem]

    def breakers(self) -> dict[str, str]:
        """The targets whose breakers are not closed, and what they are instead."""
        return self.pipeline.failover.breakers.states()

    async def _probe(self) -> None:
        """Look again, by connecting and hanging up, for as long as Bedrock was unreachable when last seen."""
        origin = self.client.endpoints["bedrock-runtime"].origin
        while True:
            if self.client.reachability.problem:
                self.client.reachability.problem = await self.transport.probe(origin)
            await asyncio.sleep(_PROBE_SECONDS)


def build_gateway(settings: Settings) -> Gateway:
    """Put the parts together. Nothing runs, and nothing is connected, before `start`."""
    config = settings.config()
    transport = AiohttpTransport(
        settings.bedrock_connect_timeout, settings.bedrock_read_timeout, settings.aws_ca_bundle
    )
    retry = RetryPolicy(settings.bedrock_max_attempts, max_wait=settings.bedrock_retry_max_wait)
    routes = _routes(config)
    places = {HOME, *(choice.place for route in routes.values() for choice in route.choices)}
    clients = {place: _client(settings, place, transport, retry) for place in places}
    directory = ModelDirectory(clients[HOME])
    behind = {name: parse_model_id(row.stands_for) for name, row in config.models.items()}
    planner = Planner(settings.bedrock_model_id, config.aliases, routes, behind)
    return Gateway(
        clients=clients,
        transport=transport,
        directory=directory,
        pipeline=Pipeline(
            clients,
            planner,
            Failover(
                retry,
                Breakers(settings.breaker_failures, settings.breaker_seconds),
                RetryBudget(settings.retry_budget),
            ),
            settings.betas(),
            frozenset(settings.native_surfaces.split(",")),
            directory.profile_of,
            lambda model: directory.find_out(model, planner.behind),
        ),
        threshold=Threshold(
            Authenticator(settings.keys(), disabled=settings.auth_disabled),
            settings.max_body_bytes,
            settings.bedrock_total_timeout,
            settings.heartbeat_interval,
        ),
        responses=_responses(settings),
        prices=Prices({base: row.model_dump(exclude_none=True) for base, row in config.prices.items()}),
        load=Load(),
        load_interval=settings.load_log_interval,
    )


def _client(settings: Settings, place: Place, transport: Transport, retry: RetryPolicy) -> BedrockClient:
    return BedrockClient(
        endpoints=resolve_endpoints(settings, place),
        credentials=CredentialsProvider(make_resolver(settings, place)),
        signer=Signer(place.region or settings.aws_region),
        transport=transport,
        retry=retry,
    )


def _routes(config: ConfigFile) -> dict[str, Route]:
    routes = {}
    for name, row in config.routes.items():
        choices = (
            Choice(target.model, Place(target.region, target.role, target.endpoint_url), target.weight)
            for target in row.targets
        )
        routes[name] = Route(tuple(choices), row.order == "weighted")
    return routes


def _responses(settings: Settings) -> ResponseStore:
    kind, _, path = settings.responses_store.partition(":///")
    if kind == "memory":
        return MemoryResponses(settings.responses_lifetime)
    # who does not need SQLite does not pay for it, in memory and at the start
    from app.storage.responses_sqlite import SqliteResponses

    return SqliteResponses(Path(path), settings.responses_lifetime)
