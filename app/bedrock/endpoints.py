"""Resolves the base URLs of Bedrock's services by region."""

from collections.abc import Collection
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from app.aws.botocore_data import endpoints
from app.config.settings import Settings, SettingsError

Service = Literal["bedrock-runtime", "bedrock", "bedrock-mantle", "servicequotas", "monitoring"]


class UpstreamLocation(Struct, frozen=True, dict=True, cache_hash=True):
    """A region and an account; what is empty is the gateway's own.

    role: the ARN of a role to assume in another account. endpoint_url: the base URL of its runtime, if not AWS's.
    """

    region: str = ""
    role: str = ""
    endpoint_url: str = ""

    @cached_property
    def name(self) -> str:
        """Its name in the log: region, account and URL, as far as they are not the gateway's own."""
        account = self.role.split(":")[4] if self.role else ""
        return " ".join(part for part in (self.region, account, self.endpoint_url) if part)


DEFAULT_LOCATION = UpstreamLocation()


class ServiceEndpoint(Struct, frozen=True):
    """The parts of a service's base URL. path: its prefix, without a trailing slash."""

    origin: str
    host: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "ServiceEndpoint":
        """Parse a base URL. `host` is spelled as in the Host header, without the scheme's default port."""
        parts = urlsplit(url)
        default_port = {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port not in (None, default_port):
            host = f"{host}:{parts.port}"
        return cls(f"{parts.scheme}://{host}", host, parts.path.rstrip("/"))


def resolve_endpoints(
    settings: Settings, locations: Collection[UpstreamLocation] = (DEFAULT_LOCATION,)
) -> dict[UpstreamLocation, dict[Service, ServiceEndpoint]]:
    """Resolve the base URLs of all services: a location's own, AWS's variables, then botocore's rules for the region.

    Raises:
        SettingsError: botocore has no endpoint for a service.
    """
    configured = {location: _configured(settings, location) for location in locations}
    missing = {
        (service, location.region or settings.aws_region): ""
        for location, urls in configured.items()
        for service, url in urls.items()
        if url is None
    }
    try:
        resolved = dict(zip(missing, endpoints([*missing]), strict=True))
    except ValueError as error:
        raise SettingsError([f"botocore knows no endpoint of Bedrock: {error}"]) from None
    return {
        location: {
            service: ServiceEndpoint.parse(url or resolved[service, location.region or settings.aws_region])
            for service, url in urls.items()
        }
        for location, urls in configured.items()
    }


def _configured(settings: Settings, location: UpstreamLocation) -> dict[Service, str | None]:
    """Return the configured base URLs; None for those that botocore resolves."""
    region = location.region or settings.aws_region
    # AWS's own variables apply to the gateway's region
    home = settings if region == settings.aws_region else None
    general = home.aws_endpoint_url if home else None
    return {
        "bedrock-runtime": location.endpoint_url
        or (home.aws_endpoint_url_bedrock_runtime if home else None)
        or general,
        "bedrock": (home.aws_endpoint_url_bedrock if home else None) or general,
        # botocore 1.44.8 has no rules for it: docs/reference/contracts/bedrock-endpoints.md#mantle
        "bedrock-mantle": (home.aws_endpoint_url_bedrock_mantle if home else None)
        or general
        or f"https://bedrock-mantle.{region}.api.aws",
    }
