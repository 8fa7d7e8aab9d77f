"""The lists of models by location, and the name that was probably meant."""

from collections.abc import Mapping

from app.bedrock.client import BedrockClient
from app.bedrock.control_plane import ModelDirectory
from app.bedrock.endpoints import DEFAULT_LOCATION, UpstreamLocation
from app.config.similar_names import similar_name
from app.errors import GatewayError, ModelNotFound
from app.routing.planner import Target


class ListedModels:
    """Reads the list of a location when it is first needed.

    Args:
        clients: by location. region: the gateway's own. directory: reads the list of its location.
    """

    def __init__(
        self, clients: Mapping[UpstreamLocation, BedrockClient], region: str, directory: ModelDirectory
    ) -> None:
        self._clients = clients
        self._region = region
        self._directories = {DEFAULT_LOCATION: directory}
        self._ids: dict[UpstreamLocation, list[str]] = {}

    async def of(self, location: UpstreamLocation) -> list[str]:
        """Return the ids of the models and profiles of a location that can be called. Raises GatewayError."""
        if location not in self._ids:
            directory = self._directories.setdefault(location, ModelDirectory(self._clients[location]))
            self._ids[location] = [entry.id for entry in await directory.fetch()]
        return self._ids[location]

    async def not_found(self, target: Target) -> ModelNotFound:
        """Return an error that says which model a location lacks, and which one it has."""
        region = target.location.region or self._region
        try:
            similar = similar_name(target.model.raw, await self.of(target.location))
        except GatewayError:
            similar = ""
        advice = f"; did you mean '{similar}'?" if similar else ""
        return ModelNotFound(f"{region} has no model '{target.model.raw}'{advice}")
