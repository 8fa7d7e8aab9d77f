"""Reads the account's models and inference profiles from Bedrock's control plane."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from app.bedrock.client import BedrockClient, BedrockRequest
from app.errors import CredentialsMissing, GatewayError, UpstreamFailed, UpstreamTimeout
from app.models.catalog import CatalogEntry, merge_catalog, models_on_demand, system_profiles
from app.models.ids import GEOGRAPHIES, ModelId, parse_model_id
from app.models.short_names import geography_of
from app.process.deadline import Deadline
from app.wire import json

_log = logging.getLogger(__name__)

_PAGE_SIZE = 1000
_MAX_PAGES = 50
_MAX_LOOKUPS = 8
_MAX_KNOWN = 4096
# the path that returns the model behind an ARN, by the ARN's kind (GetInferenceProfile, GetProvisionedModelThroughput)
_ARN_PATHS = {
    "application-inference-profile": "/inference-profiles/",
    "provisioned-model": "/provisioned-model-throughput/",
}
# among the models of a global profile, beside those of its regions (Bedrock user guide, Global cross-Region inference)
_NO_REGION = "arn:aws:bedrock:::"


class ModelDirectory:
    """Caches the catalog of models; after a failed refresh, the last copy stays.

    Args:
        client: calls the control plane of a region.
        record: gets the models that can be called by id and the inference profiles, whenever they were read.
        lifetime: seconds for which a copy is fresh.
        timeout_seconds: of one refresh.
    """

    def __init__(
        self,
        client: BedrockClient,
        region: str = "",
        record: Callable[[list[ModelId]], None] | None = None,
        *,
        lifetime: float = 300.0,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._client = client
        self._region = region
        self._record = record
        self._lifetime = lifetime
        self._timeout = timeout_seconds
        self._entries: list[CatalogEntry] | None = None
        self._profiles: list[ModelId] = []
        self._fresh_until = 0.0
        self._refreshing: asyncio.Task[list[CatalogEntry]] | None = None
        self._looked_up: dict[str, float] = {}
        self._lookups: dict[str, asyncio.Task[None]] = {}

    async def entries(self) -> list[CatalogEntry]:
        """Return the catalog. A stale copy is returned at once, and refreshed in the background.

        Raises:
            GatewayError: there is no copy yet, and the refresh failed.
        """
        if time.monotonic() >= self._fresh_until and self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name="model-directory")
            self._refreshing.add_done_callback(self._on_refreshed)
        if self._entries is not None:
            return self._entries
        if self._refreshing is None:
            raise UpstreamFailed("the list of models is not available")
        return await asyncio.shield(self._refreshing)

    async def profile_of(self, model: ModelId) -> str | None:
        """Return the narrowest inference profile of a model in this region, if there is one.

        Without lists it is the profile of the region's geography.
        """
        if model.geography or model.is_opaque:
            return None
        try:
            await self.entries()
        except GatewayError:
            return f"{geography_of(self._region)}.{model.base}"
        fitting = [profile for profile in self._profiles if profile.base == model.base]
        narrowest = min(fitting, key=lambda profile: GEOGRAPHIES.index(profile.geography), default=None)
        return None if narrowest is None else narrowest.raw

    async def read(self, timeout_seconds: float) -> None:
        """Read the lists if they are not known or stale, and wait so long for those that are not known."""
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self.entries()

    async def look_up(
        self, model: ModelId, known: dict[str, ModelId], client: BedrockClient, timeout_seconds: float
    ) -> None:
        """Look up the model behind an opaque ARN, and put it into `known`.

        There is one lookup at a time for an ARN, and another after `lifetime` if nothing was found.

        Args:
            client: that of the ARN's region and account. timeout_seconds: how long a caller waits, from the start of
                the lookup; a slower one goes on in the background.
        """
        now = time.monotonic()
        age = now - self._looked_up.get(model.raw, -math.inf)
        is_due = model.raw not in self._lookups and age >= self._lifetime
        if model.arn_kind in _ARN_PATHS and is_due and len(self._lookups) < _MAX_LOOKUPS:
            self._looked_up[model.raw], age = now, 0.0
            task = asyncio.create_task(self._look_up(model, known, client), name="model-behind")
            self._lookups[model.raw] = task
            task.add_done_callback(lambda _: self._lookups.pop(model.raw))
        while len(self._looked_up) > _MAX_KNOWN:
            self._looked_up.pop(next(iter(self._looked_up)))
        lookup = self._lookups.get(model.raw)
        if lookup is not None and age < timeout_seconds:
            await asyncio.wait({lookup}, timeout=timeout_seconds - age)

    async def _look_up(self, model: ModelId, known: dict[str, ModelId], client: BedrockClient) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                document = await self._get(f"{_ARN_PATHS[model.arn_kind]}{model.quoted}", client=client)
            arns = [each["modelArn"] for each in document.get("models", [document])]
            # regional ARNs all name the same model
            behind = parse_model_id(arns[0])
            if any(arn.startswith(_NO_REGION) for arn in arns):
                behind = parse_model_id(f"global.{behind.base}")
            if len(known) < _MAX_KNOWN:
                known[model.raw] = behind
        except (GatewayError, TimeoutError, LookupError, TypeError, AttributeError, json.JsonError) as error:
            _log.warning("the model behind an ARN could not be looked up: %s", type(error).__name__)

    async def close(self) -> None:
        """Cancel all lookups."""
        tasks = [*self._lookups.values(), *([self._refreshing] if self._refreshing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fetch(self) -> list[CatalogEntry]:
        """Read the catalog from the control plane now.

        Raises:
            GatewayError: as `BedrockClient.run` does; UpstreamTimeout: too slow; UpstreamFailed: malformed lists.
        """
        try:
            async with asyncio.timeout(self._timeout):
                models, profiles = await asyncio.gather(
                    self._pages("/foundation-models", "modelSummaries"),
                    self._pages("/inference-profiles", "inferenceProfileSummaries", maxResults=str(_PAGE_SIZE)),
                )
            self._profiles = system_profiles(profiles)
            if self._record is not None:
                self._record([*models_on_demand(models), *self._profiles])
            return merge_catalog(models, profiles)
        except TimeoutError:
            raise UpstreamTimeout("Bedrock did not list its models in time") from None
        except (json.JsonError, LookupError, TypeError, AttributeError) as error:
            raise UpstreamFailed("Bedrock's list of models is malformed", detail=type(error).__name__) from None

    async def _refresh(self) -> list[CatalogEntry]:
        entries = await self.fetch()
        self._entries = entries
        self._fresh_until = time.monotonic() + self._lifetime
        return entries

    def _on_refreshed(self, task: asyncio.Task[list[CatalogEntry]]) -> None:
        self._refreshing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fresh_until = time.monotonic() + min(self._lifetime, 10.0)
            detail = error.detail if isinstance(error, GatewayError) else ""
            # the detail of missing credentials says all that the message says
            words = (detail,) if isinstance(error, CredentialsMissing) else (str(error), detail)
            _log.warning("the list of models could not be refreshed: %s", ": ".join(filter(None, words)))

    async def _pages(self, path: str, member: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for _ in range(_MAX_PAGES):
            page = await self._get(path, urlencode(query))
            items += page.get(member, [])
            if not page.get("nextToken"):
                break
            query["nextToken"] = page["nextToken"]
        return items

    async def _get(self, path: str, query: str = "", *, client: BedrockClient | None = None) -> Any:
        request = BedrockRequest("bedrock", "GET", path, query)
        deadline = Deadline.after(self._timeout)
        used = client or self._client
        return json.loads(await used.run(request, deadline, lambda response, _: response.read()))
