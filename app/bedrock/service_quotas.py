"""Reads the quotas of Bedrock from Service Quotas: those that apply to the account, then AWS's defaults.

Service Quotas throttles after few calls, so the pages are read slowly. A page that fails is read again later, and the
pages before it are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import Struct

from app.bedrock.client import BedrockClient, BedrockRequest
from app.errors import GatewayError
from app.process.deadline import Deadline
from app.wire import json

_log = logging.getLogger(__name__)

_TARGET = "ServiceQuotasV20190624"
_APPLIED, _DEFAULT = "ListServiceQuotas", "ListAWSDefaultServiceQuotas"
_PAGE_SIZE = 100
_MAX_PAGES = 100
_TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 2.0
_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 30.0, 900.0
_MAX_RETRIES = 20


class ServiceQuota(Struct, frozen=True):
    """A quota. source: `applied` to the account, or AWS's `default`."""

    code: str
    name: str
    value: float
    source: str


class _Quota(Struct):
    QuotaCode: str = ""
    QuotaName: str = ""
    Value: float = 0.0


class _Page(Struct):
    Quotas: list[_Quota] = []
    NextToken: str | None = None


class ServiceQuotas:
    """The quotas of one region.

    Args:
        client: has the endpoint `servicequotas`. sleep: as that of asyncio.
    """

    def __init__(self, client: BedrockClient, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._client = client
        self._sleep = sleep

    async def read(self) -> dict[str, ServiceQuota]:
        """Return all quotas by their codes; those that could be read, if it fails too often."""
        found: dict[str, ServiceQuota] = {}
        for operation, source in ((_APPLIED, "applied"), (_DEFAULT, "default")):
            for quota in await self._pages(operation):
                found.setdefault(quota.QuotaCode, ServiceQuota(quota.QuotaCode, quota.QuotaName, quota.Value, source))
        return found

    async def _pages(self, operation: str) -> list[_Quota]:
        quotas: list[_Quota] = []
        token: str | None = None
        failures = 0
        for _ in range(_MAX_PAGES + _MAX_RETRIES):
            try:
                page = await self._page(operation, token)
            except (GatewayError, json.JsonError) as error:
                failures += 1
                kind = error.kind if isinstance(error, GatewayError) else "malformed"
                _log.warning("quotas could not be read", extra={"fields": {"operation": operation, "error": kind}})
                if failures > _MAX_RETRIES or not getattr(error, "retry_here", False):
                    return quotas
                await self._sleep(min(_FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), _MAX_RETRY_SECONDS))
                continue
            quotas += page.Quotas
            token = page.NextToken
            if not token:
                return quotas
            await self._sleep(_PAUSE_SECONDS)
        return quotas

    async def _page(self, operation: str, token: str | None) -> _Page:
        members: dict[str, object] = {"ServiceCode": "bedrock", "MaxResults": _PAGE_SIZE}
        if token:
            members["NextToken"] = token
        headers = (("content-type", "application/x-amz-json-1.1"), ("x-amz-target", f"{_TARGET}.{operation}"))
        request = BedrockRequest("servicequotas", "POST", "/", headers=headers, body=json.dumps(members))
        body = await self._client.run(request, Deadline.after(_TIMEOUT_SECONDS), lambda response, _: response.read())
        return json.loads_as(body, _Page)
