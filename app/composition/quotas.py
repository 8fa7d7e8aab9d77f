"""Builds the pools of Bedrock's quotas, where the deployment knows some."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from app.aws.botocore_data import endpoints
from app.bedrock.client import BedrockClient, Reachability
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.endpoints import DEFAULT_LOCATION, Service, ServiceEndpoint, UpstreamLocation
from app.config.config_file import ConfigFile, QuotaRow, RegionQuotaRow
from app.config.settings import Settings
from app.errors import GatewayError

if TYPE_CHECKING:
    from app.composition.governance import Governance
    from app.execution.attempt import Attempt
    from app.governance.quotas.meters import Meter, Meters
    from app.governance.quotas.pools import PoolKey, QuotaLimits


_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 86_400.0
_RETRY_SECONDS = 600.0
_CALIBRATION_SECONDS = 300.0
# as botocore spells them
_ENDPOINT_NAMES: Mapping[Service, str] = {"servicequotas": "service-quotas", "monitoring": "cloudwatch"}


def knows_quotas(settings: Settings) -> bool:
    """Return whether quotas are configured, or are to be read from AWS."""
    return settings.quotas_from_aws or bool(settings.config().quotas)


class BedrockQuotas:
    """The pools of this process, and how calls wait for them.

    Args:
        processes: how many share the quotas, if no database does.
    """

    def __init__(self, settings: Settings, processes: int, governance: Governance | None) -> None:
        from app.execution.quota_attempt import QueueSettings
        from app.governance.quotas.pools import Quotas
        from app.models.burndown import Burndown

        config = settings.config()
        self._region = settings.aws_region
        self._endpoint_url = settings.aws_endpoint_url
        self._reads_from_aws = settings.quotas_from_aws
        self._is_calibrated = settings.quotas_calibration
        self._tasks: list[asyncio.Task[None]] = []
        self._processes = processes
        self._client = None if governance is None else governance.client
        self._queue = QueueSettings(
            settings.quota_max_wait, settings.quota_spill_wait, settings.heartbeat_interval, config.quota_weights
        )
        self.pools = Quotas(
            limits_of(config),
            settings.aws_region,
            self._share,
            time.monotonic,
            Burndown(),
            is_calibrated=settings.quotas_calibration,
        )

    def start(self, clients: Mapping[UpstreamLocation, BedrockClient], directory: ModelDirectory) -> None:
        """Begin to read the quotas of AWS and CloudWatch, as far as the settings say so.

        Args:
            clients: of all locations. directory: the models of the gateway's own location.
        """
        if self._reads_from_aws:
            self._tasks.append(asyncio.create_task(self._read_from_aws(clients, directory), name="quotas of AWS"))
        if self._is_calibrated:
            self._tasks.append(asyncio.create_task(self._calibrate(clients), name="calibration of quotas"))

    def wrap(self, attempt: Attempt) -> Attempt:
        """Return an attempt that waits for the quotas."""
        from app.execution.quota_attempt import QuotaAttempt

        return QuotaAttempt(attempt, self.pools, self._queue)

    def figures(self) -> Mapping[str, Mapping[str, float]]:
        """Return the figures of each pool, for metrics."""
        from app.governance.quotas.report import figures_of

        return figures_of(self.pools)

    def sources(self) -> Mapping[str, str]:
        """Return where the limit of each pool comes from, for metrics."""
        from app.governance.quotas.report import sources_of

        return sources_of(self.pools)

    async def describe(self) -> Sequence[dict[str, Any]]:
        """Return each pool that this process has used, for administrators."""
        from app.governance.quotas.report import describe_pools

        return describe_pools(self.pools)

    async def close(self) -> None:
        """Stop serving the queues, and reading quotas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pools.close()

    async def _read_from_aws(
        self, clients: Mapping[UpstreamLocation, BedrockClient], directory: ModelDirectory
    ) -> None:
        """Read the quotas of each region and account, one after the other, and again once a day."""
        locations: dict[tuple[str, str], UpstreamLocation] = {}
        for each in clients:
            # an endpoint of its own makes no other account
            locations.setdefault((each.region or self._region, each.role), each)
        found: dict[tuple[str, str, str], QuotaLimits] = {}
        while True:
            pause = _REFRESH_SECONDS
            for (region, role), location in locations.items():
                is_own = location == DEFAULT_LOCATION
                models = directory if is_own else ModelDirectory(clients[location], region)
                try:
                    found |= await self._quotas_of(clients[location], models, region, role)
                    self.pools.set_found(found)
                except (GatewayError, ValueError) as error:
                    kind = error.kind if isinstance(error, GatewayError) else str(error)
                    fields = {"region": region, "error": kind}
                    _log.warning("quotas of AWS could not be read", extra={"fields": fields})
                    pause = _RETRY_SECONDS
                finally:
                    if not is_own:
                        await models.close()
            await asyncio.sleep(pause)

    async def _quotas_of(
        self, client: BedrockClient, directory: ModelDirectory, region: str, role: str
    ) -> dict[tuple[str, str, str], QuotaLimits]:
        """Return the quotas of one region and account. Raises GatewayError and ValueError."""
        from app.bedrock.service_quotas import ServiceQuotas
        from app.governance.quotas.aws_limits import limits_from_aws

        quotas = ServiceQuotas(await asyncio.to_thread(self._client_of, client, "servicequotas", region))
        found = limits_from_aws((await quotas.read()).values(), await directory.entries(), region, role)
        _log.info("quotas of AWS were read", extra={"fields": {"region": region, "count": len(found)}})
        return found

    async def _calibrate(self, clients: Mapping[UpstreamLocation, BedrockClient]) -> None:
        """Compare what the pools settled with what CloudWatch says, every few minutes."""
        from app.bedrock.cloudwatch import read_quota_usage

        known: dict[UpstreamLocation, BedrockClient] = {}
        while True:
            for key, pool in list(self.pools.pools.items()):
                if pool.calibration is None or key.location not in clients:
                    continue
                try:
                    if key.location not in known:
                        region = key.location.region or self._region
                        client = clients[key.location]
                        known[key.location] = await asyncio.to_thread(self._client_of, client, "monitoring", region)
                    period = pool.calibration.period()
                    model = key.name.rpartition("/")[2]
                    pool.calibration.compare(period, await read_quota_usage(known[key.location], model, *period))
                except (GatewayError, ValueError) as error:
                    kind = error.kind if isinstance(error, GatewayError) else type(error).__name__
                    _log.warning("CloudWatch could not be read", extra={"fields": {"quota": pool.name, "error": kind}})
            await asyncio.sleep(_CALIBRATION_SECONDS)

    def _client_of(self, client: BedrockClient, service: Service, region: str) -> BedrockClient:
        """Return a client of another service of AWS. Raises ValueError: botocore knows no endpoint."""
        url = self._endpoint_url or endpoints([(_ENDPOINT_NAMES[service], region)])[0]
        return replace(client, endpoints={service: ServiceEndpoint.parse(url)}, reachability=Reachability())

    def _share(self, key: PoolKey, meters: Sequence[Meter]) -> Meters:
        """Return the meters of a pool: its part of this process, or a pool that all replicas share by leases."""
        from app.governance.quotas.meters import LocalMeters

        parts = [dataclasses.replace(meter, per_minute=max(meter.per_minute // self._processes, 1)) for meter in meters]
        alone = LocalMeters(parts, time.monotonic)
        if self._client is None:
            return alone
        from app.governance.quotas.shared_meters import SharedMeters

        name = "/".join(
            [key.name, key.location.region, key.location.role, key.location.endpoint_url, str(key.is_mantle)]
        )
        return SharedMeters(name, meters, self._client, alone, time.monotonic)


def build_quotas(settings: Settings, processes: int, governance: Governance | None) -> BedrockQuotas:
    """Build the pools. Nothing is read from AWS before `start`."""
    return BedrockQuotas(settings, processes, governance)


def limits_of(config: ConfigFile) -> dict[tuple[str, str], QuotaLimits]:
    """Return the configured quotas, by the name of the model or inference profile and the region; empty for any."""
    limits: dict[tuple[str, str], QuotaLimits] = {}
    for name, row in config.quotas.items():
        limits[name, ""] = _limits(row, row)
        for region, other in row.regions.items():
            limits[name, region] = _limits(other, row)
    return limits


def _limits(row: RegionQuotaRow, of_model: QuotaRow) -> QuotaLimits:
    from app.governance.quotas.pools import QuotaLimits

    return QuotaLimits(
        row.tokens_per_minute,
        row.requests_per_minute,
        row.input_tokens_per_minute,
        row.output_tokens_per_minute,
        of_model.target,
        of_model.output_burndown,
    )
