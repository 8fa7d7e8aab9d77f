"""Reads the ids of the models that mantle serves, which the control plane does not list.

Sources: AWS user guide, Get list of models (2026-11); big-AGI#1167 and hermes#65076, live: GET /v1/models
"""

import asyncio
import time
from typing import Any

from app.bedrock.client import BedrockClient, BedrockRequest
from app.errors import GatewayError
from app.models.catalog import CatalogEntry
from app.process.deadline import Deadline
from app.wire import json

_REQUEST = BedrockRequest("bedrock-mantle", "GET", "/v1/models")


class MantleModels:
    """Caches the list; without the permission, or a path to mantle, it is empty, or the last that was read.

    Args:
        client: of the gateway's own region. lifetime: seconds for which a copy is fresh.
        timeout_seconds: how long a caller waits for a new copy.
    """

    def __init__(self, client: BedrockClient, *, lifetime: float = 300.0, timeout_seconds: float = 3.0) -> None:
        self._client = client
        self._lifetime = lifetime
        self._timeout = timeout_seconds
        self._entries: list[CatalogEntry] = []
        self._fresh_until = 0.0
        self._reading = asyncio.Lock()

    async def entries(self) -> list[CatalogEntry]:
        """Return an entry for each id, in their order."""
        async with self._reading:
            if time.monotonic() >= self._fresh_until:
                self._fresh_until = time.monotonic() + self._lifetime
                await self._read()
        return self._entries

    async def _read(self) -> None:
        deadline = Deadline.after(self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._client.run(_REQUEST, deadline, lambda response, _: response.read())
            self._entries = sorted(map(_entry, json.loads(body)["data"]), key=lambda entry: entry.id)
        except (GatewayError, TimeoutError, json.JsonError, LookupError, TypeError, AttributeError):
            pass  # the list is an addition to that of the control plane


def _entry(model: Any) -> CatalogEntry:
    created = model.get("created")
    name = str(model["id"])
    return CatalogEntry(name, name.partition(".")[0], created if isinstance(created, int) else 0)
