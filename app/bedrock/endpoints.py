"""Where Bedrock answers: a base URL for the runtime and one for the control plane."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from app.kit.values import Struct
from app.settings import Settings

Service = Literal["bedrock-runtime", "bedrock", "bedrock-mantle"]


class Place(Struct, frozen=True):
    """A region and an account; what is empty is the gateway's own.

    role: the ARN of a role in another account, which is assumed. endpoint_url: base URL of its runtime, if not AWS's.
    """

    region: str = ""
    role: str = ""
    endpoint_url: str = ""

    @property
    def account(self) -> str:
        """The account of its role."""
        return self.role.split(":")[4] if self.role else ""


HOME = Place()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service's base URL, taken apart once; `path` is its prefix, without a trailing slash."""

    origin: str
    host: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Take a base URL apart; `host` is as the Host header says it, without the scheme's default port."""
        parts = urlsplit(url)
        default_port = {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port not in (None, default_port):
            host = f"{host}:{parts.port}"
        return cls(f"{parts.scheme}://{host}", host, parts.path.rstrip("/"))


def resolve_endpoints(settings: Settings, place: Place = HOME) -> dict[Service, Endpoint]:
    """The base URLs of all services: those of the place, AWS's own variables, then botocore's rules for the region.

    botocore's rules know FIPS and dual-stack switches, partitions, and `endpoint_url` of a profile.
    """
    region = place.region or settings.aws_region
    # AWS's own variables name endpoints of the gateway's region
    home = settings if region == settings.aws_region else None
    general = home.aws_endpoint_url if home else None
    explicit: dict[Service, str | None] = {
        "bedrock-runtime": place.endpoint_url or (home.aws_endpoint_url_bedrock_runtime if home else None) or general,
        "bedrock": (home.aws_endpoint_url_bedrock if home else None) or general,
        # botocore 1.44.8 has no rules for it (contracts 0.1)
        "bedrock-mantle": (home.aws_endpoint_url_bedrock_mantle if home else None)
        or general
        or f"https://bedrock-mantle.{region}.api.aws",
    }
    return {service: Endpoint.parse(url or _resolve_by_rules(service, region)) for service, url in explicit.items()}


def _resolve_by_rules(service: Service, region: str) -> str:
    """What a client of botocore would be given, without the 20 MB that the models of two services take for good."""
    from botocore.configprovider import ConfiguredEndpointProvider
    from botocore.endpoint_provider import EndpointProvider
    from botocore.session import Session

    session = Session(include_builtin_handlers=False)
    if not session.get_config_variable("ignore_configured_endpoint_urls"):
        configured = ConfiguredEndpointProvider(
            full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
        ).provide()
        if configured:
            return str(configured)
    loader = session.get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    endpoint = provider.resolve_endpoint(
        Region=region,
        UseDualStack=bool(session.get_config_variable("use_dualstack_endpoint")),
        UseFIPS=bool(session.get_config_variable("use_fips_endpoint")),
    )
    return str(endpoint.url)
