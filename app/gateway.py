"""The composition root: builds every part once, starts it, and closes it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from app.bedrock.client import BedrockClient
from app.bedrock.control import ModelDirectory
from app.bedrock.credentials import CredentialsProvider, make_resolver
from app.bedrock.endpoints import resolve_endpoints
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport_aiohttp import AiohttpTransport
from app.dialects.route import Threshold
from app.pipeline.run import Pipeline
from app.policies.auth import Authenticator
from app.routing.plan import Planner
from app.settings import Settings
from app.storage.responses import MemoryResponses, ResponseStore
from app.telemetry.load import Load

_PROBE_SECONDS = 5.0


@dataclass(slots=True)
class Gateway:
    """All parts of a running gateway."""

    client: BedrockClient
    directory: ModelDirectory
    pipeline: Pipeline
    threshold: Threshold
    responses: ResponseStore
    load: Load
    load_interval: float
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to resolve credentials and to look whether Bedrock can be reached; waits for neither."""
        self.client.credentials.start()
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
        await self.client.credentials.close()
        await self.client.transport.close()

    def reasons_not_ready(self) -> list[str]:
        """Why requests should not be sent here; empty when they should."""
        problems = {"credentials": self.client.credentials.problem, "bedrock": self.client.reachability.problem}
        return [f"{part}: {problem}" for part, problem in problems.items() if problem]

    async def _probe(self) -> None:
        """Look again, by connecting and hanging up, for as long as Bedrock was unreachable when last seen."""
        origin = self.client.endpoints["bedrock-runtime"].origin
        while True:
            if self.client.reachability.problem:
                self.client.reachability.problem = await self.client.transport.probe(origin)
            await asyncio.sleep(_PROBE_SECONDS)


def build_gateway(settings: Settings) -> Gateway:
    """Put the parts together. Nothing runs, and nothing is connected, before `start`."""
    client = BedrockClient(
        endpoints=resolve_endpoints(settings),
        credentials=CredentialsProvider(make_resolver(settings)),
        signer=Signer(settings.aws_region),
        transport=AiohttpTransport(
            settings.bedrock_connect_timeout, settings.bedrock_read_timeout, settings.aws_ca_bundle
        ),
        retry=RetryPolicy(settings.bedrock_max_attempts, max_wait=settings.bedrock_retry_max_wait),
    )
    directory = ModelDirectory(client)
    planner = Planner(settings.bedrock_model_id, settings.aliases())
    return Gateway(
        client=client,
        directory=directory,
        pipeline=Pipeline(client, planner, settings.betas(), directory.profile_of),
        threshold=Threshold(
            Authenticator(settings.keys(), disabled=settings.auth_disabled),
            settings.max_body_bytes,
            settings.bedrock_total_timeout,
            settings.heartbeat_interval,
        ),
        responses=_responses(settings),
        load=Load(),
        load_interval=settings.load_log_interval,
    )


def _responses(settings: Settings) -> ResponseStore:
    kind, _, path = settings.responses_store.partition(":///")
    if kind == "memory":
        return MemoryResponses(settings.responses_lifetime)
    # who does not need SQLite does not pay for it, in memory and at the start
    from app.storage.responses_sqlite import SqliteResponses

    return SqliteResponses(Path(path), settings.responses_lifetime)
