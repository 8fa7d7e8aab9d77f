from typing import Any

import pytest

from app.bedrock.endpoints import Endpoint, resolve_endpoints
from app.settings import Settings


def resolve(**values: Any) -> dict[str, Endpoint]:
    settings = Settings(aws_region="eu-central-1", bedrock_model_id="m", auth_disabled=True, **values)
    return {**resolve_endpoints(settings)}


def test_the_region_decides_by_default() -> None:
    found = resolve()
    assert found["bedrock-runtime"].origin == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert found["bedrock"].host == "bedrock.eu-central-1.amazonaws.com"


def test_fips_and_dual_stack_are_botocore_s_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert resolve()["bedrock-runtime"].host == "bedrock-runtime-fips.eu-central-1.amazonaws.com"


def test_a_service_s_own_variable_wins() -> None:
    found = resolve(
        aws_endpoint_url="https://all.example/aws",
        aws_endpoint_url_bedrock_runtime="http://runtime.example:8080/prefix",
    )
    assert found["bedrock-runtime"] == Endpoint("http://runtime.example:8080", "runtime.example:8080", "/prefix")
    assert found["bedrock"] == Endpoint("https://all.example", "all.example", "/aws")


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://a:443", "a"), ("http://a:80/", "a"), ("http://a:443", "a:443"), ("http://[::1]:90/x/", "[::1]:90")],
)
def test_the_host_is_as_the_header_says_it(url: str, host: str) -> None:
    assert Endpoint.parse(url).host == host
