from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.loaders import Loader

from app.aws.botocore_data import endpoints
from app.bedrock.endpoints import DEFAULT_LOCATION, ServiceEndpoint, UpstreamLocation, resolve_endpoints
from app.config.settings import Settings, SettingsError


def resolve(**values: Any) -> dict[str, ServiceEndpoint]:
    settings = Settings(aws_region="eu-central-1", bedrock_model_id="m", auth_disabled=True, **values)
    return {**resolve_endpoints(settings)[DEFAULT_LOCATION]}


def test_endpoint_follows_the_region_by_default() -> None:
    found = resolve()
    assert found["bedrock-runtime"].origin == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert found["bedrock"].host == "bedrock.eu-central-1.amazonaws.com"


PROFILES = """[profile plain]
[profile elsewhere]
services = mine
[services mine]
bedrock_runtime =
  endpoint_url = https://mine.example/runtime
[profile everything]
endpoint_url = https://everything.example
"""


@cache
def models() -> Loader:
    """One loader for all sessions, which would each spend 100 ms on the service models."""
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


def by_botocore(service: str, region: str) -> str:
    """Return the URL that a client sends to, which may differ from its `meta.endpoint_url`."""
    import botocore.config
    import botocore.session

    unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED)
    session = botocore.session.Session()
    session.register_component("data_loader", models())
    client = session.create_client(service, region_name=region, config=unsigned)
    seen = []

    def answer(request: AWSRequest, **_: object) -> AWSResponse:
        seen.append(request.url)
        response = AWSResponse(request.url, 200, {}, None)
        response._content = b"{}"
        return response

    client.meta.events.register("before-send", answer)
    if service == "bedrock":
        client.list_foundation_models()
        return str(seen[0]).removesuffix("/foundation-models")
    client.converse(modelId="m", messages=[])
    return str(seen[0]).removesuffix("/model/m/converse")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1"])
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_PROFILE": "elsewhere"},
        {"AWS_PROFILE": "everything"},
        {"AWS_PROFILE": "everything", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    ],
    ids=lambda environment: " ".join(environment.values()) or "nothing set",
)
def test_endpoint_equals_that_of_botocores_client(
    region: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles = tmp_path / "config"
    profiles.write_text(PROFILES)
    for name, value in {"AWS_CONFIG_FILE": str(profiles), **environment}.items():
        monkeypatch.setenv(name, value)
    locations = [("bedrock-runtime", region), ("bedrock", region)]
    assert endpoints(locations) == [by_botocore(*location) for location in locations]


def test_fips_and_dual_stack_switches_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert resolve()["bedrock-runtime"].host == "bedrock-runtime-fips.eu-central-1.amazonaws.com"


def test_variable_of_a_service_precedes_the_general_one() -> None:
    found = resolve(
        aws_endpoint_url="https://all.example/aws",
        aws_endpoint_url_bedrock_runtime="http://runtime.example:8080/prefix",
    )
    assert found["bedrock-runtime"] == ServiceEndpoint("http://runtime.example:8080", "runtime.example:8080", "/prefix")
    assert found["bedrock"] == ServiceEndpoint("https://all.example", "all.example", "/aws")


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://a:443", "a"), ("http://a:80/", "a"), ("http://a:443", "a:443"), ("http://[::1]:90/x/", "[::1]:90")],
)
def test_host_is_spelled_as_in_the_host_header(url: str, host: str) -> None:
    assert ServiceEndpoint.parse(url).host == host


def test_botocore_resolves_all_locations_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def noted(locations: Sequence[tuple[str, str]]) -> list[str]:
        asked.append(locations)
        return endpoints(locations)

    monkeypatch.setattr("app.bedrock.endpoints.endpoints", noted)
    settings = Settings(aws_region="eu-central-1", bedrock_model_id="m", auth_disabled=True)
    role = "arn:aws:iam::111122223333:role/outcrop"
    locations = [
        DEFAULT_LOCATION,
        UpstreamLocation("us-east-1"),
        UpstreamLocation(role=role),
        UpstreamLocation("us-east-1", endpoint_url="https://other.example"),
    ]
    found = resolve_endpoints(settings, locations)
    hosts = [found[location]["bedrock-runtime"].host for location in locations]
    central, east = (f"bedrock-runtime.{region}.amazonaws.com" for region in ("eu-central-1", "us-east-1"))
    assert hosts == [central, east, central, "other.example"]
    services = ("bedrock-runtime", "bedrock")
    assert asked == [[(service, region) for region in ("eu-central-1", "us-east-1") for service in services]]


def test_missing_endpoint_is_a_settings_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(aws_region="us-east-1", bedrock_model_id="m", auth_disabled=True)
    broken = tmp_path / "config"
    broken.write_text("nonsense")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    with pytest.raises(SettingsError, match=r"botocore knows no endpoint of Bedrock: .*config"):
        resolve_endpoints(settings)


def test_location_name_omits_what_is_the_gateways_own() -> None:
    role = "arn:aws:iam::111122223333:role/x"
    locations = [
        DEFAULT_LOCATION,
        UpstreamLocation("us-west-2"),
        UpstreamLocation(role=role),
        UpstreamLocation("us-west-2", role, "http://x"),
        UpstreamLocation(endpoint_url="http://x"),
    ]
    assert [location.name for location in locations] == [
        "",
        "us-west-2",
        "111122223333",
        "us-west-2 111122223333 http://x",
        "http://x",
    ]
