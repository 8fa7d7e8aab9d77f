"""Which regions and accounts Service Quotas is read for, and that one that fails does not stop the others."""

import asyncio
from typing import Any, cast

import pytest

from app.bedrock.client import BedrockClient
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.composition.quotas import BedrockQuotas
from app.errors import UpstreamFailed
from app.governance.quotas.pools import QuotaLimits
from app.models.ids import parse_model_id
from tests.servers import NOWHERE, gateway_settings

ROLE = "arn:aws:iam::111122223333:role/outcrop"
MODEL = parse_model_id("us.anthropic.claude-sonnet-5")
WEST, ACCOUNT = UpstreamLocation("us-west-2"), UpstreamLocation(role=ROLE)
PROXY = UpstreamLocation("us-west-2", endpoint_url="http://proxy")


async def test_quotas_of_all_regions_and_accounts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    quotas = BedrockQuotas(gateway_settings(NOWHERE, quotas_from_aws=True), 1, None)
    clients = {each: cast(BedrockClient, object()) for each in (DEFAULT_LOCATION, WEST, ACCOUNT, PROXY)}
    read: list[tuple[str, str]] = []
    is_done = asyncio.Event()

    async def quotas_of(client: Any, directory: Any, region: str, role: str) -> dict[tuple[str, str, str], QuotaLimits]:
        read.append((region, role))
        if len(read) == 3:
            is_done.set()
        if region == "us-west-2":
            raise UpstreamFailed("no")
        return {(MODEL.raw, region, role): QuotaLimits(1000 if role else 2000)}

    monkeypatch.setattr(quotas, "_quotas_of", quotas_of)
    quotas.start(clients, cast(ModelDirectory, object()))
    async with asyncio.timeout(30):
        await is_done.wait()
        await asyncio.sleep(0)
    found = {
        location: None
        if quotas.pools.pool_of(MODEL, MODEL, location, is_mantle=False) is None
        else next(each.tokens_per_minute for key, each in quotas.pools.limits.items() if key.location == location)
        for location in clients
    }
    await quotas.close()
    assert sorted(read) == [("us-east-1", ""), ("us-east-1", ROLE), ("us-west-2", "")]
    assert found == {DEFAULT_LOCATION: 2000, ACCOUNT: 1000, WEST: None, PROXY: None}
