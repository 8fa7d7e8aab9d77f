"""Builds the pools of Bedrock's quotas, where the deployment knows some."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from app.aws.botocore_data import endpoints
from app.bedrock.client import BedrockClient, Reachability
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.endpoints import Endpoint
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
        self._reading: asyncio.Task[None] | None = None
        self._processes = processes
        self._client = None if governance is None else governance.client
        self._queue = QueueSettings(
            settings.quota_max_wait, settings.quota_spill_wait, settings.heartbeat_interval, config.quota_weights
        )
        self.pools = Quotas(limits_of(config), settings.aws_region, self._share, time.monotonic, Burndown())

    def start(self, client: BedrockClient, directory: ModelDirectory) -> None:
        """Begin to read the quotas of AWS, if the settings say so. client: of the gateway's own location."""
        if self._reads_from_aws:
            self._reading = asyncio.create_task(self._read_from_aws(client, directory), name="quotas of AWS")

    def wrap(self, attempt: Attempt) -> Attempt:
        """Return an attempt that waits for the quotas."""
        from app.execution.quota_attempt import QuotaAttempt

        return QuotaAttempt(attempt, self.pools, self._queue)

    def figures(self) -> Mapping[str, Mapping[str, float]]:
        """Return the figures of each pool, for metrics."""
        from app.governance.quotas.report import figures_of

        return figures_of(self.pools)

    async def describe(self) -> Sequence[dict[str, Any]]:
        """Return each pool that this process has used, for administrators."""
        from app.governance.quotas.report import describe_pools

        return describe_pools(self.pools)

    async def close(self) -> None:
        """Stop serving the queues, and reading quotas."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.pools.close()

    async def _read_from_aws(self, client: BedrockClient, directory: ModelDirectory) -> None:
        from app.bedrock.service_quotas import ServiceQuotas
        from app.governance.quotas.aws_limits import limits_from_aws

        while True:
            try:
                quotas = ServiceQuotas(await asyncio.to_thread(self._client_of_quotas, client))
                found = limits_from_aws((await quotas.read()).values(), await directory.entries(), self._region)
                self.pools.set_found(found)
                _log.info("quotas of AWS were read", extra={"fields": {"count": len(found)}})
                pause = _REFRESH_SECONDS
            except (GatewayError, ValueError) as error:
                kind = error.kind if isinstance(error, GatewayError) else str(error)
                _log.warning("quotas of AWS could not be read", extra={"fields": {"error": kind}})
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    def _client_of_quotas(self, client: BedrockClient) -> BedrockClient:
        """Return a client of Service Quotas. Raises ValueError: botocore knows no endpoint."""
        url = self._endpoint_url or endpoints([("service-quotas", self._region)])[0]
        return replace(client, endpoints={"servicequotas": Endpoint.parse(url)}, reachability=Reachability())

    def _share(self, key: PoolKey, meters: Sequence[Meter]) -> Meters:
        """Return the meters of a pool: its part of this process, or a pool that all replicas share by leases."""
        from app.governance.quotas.meters import LocalMeters

        parts = [replace(meter, per_minute=max(meter.per_minute // self._processes, 1)) for meter in meters]
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
