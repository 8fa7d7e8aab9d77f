"""How the parts of a gateway are put together."""

import pytest

from app.gateway import build_gateway
from app.share import Share
from tests.servers import gateway_settings


@pytest.mark.parametrize(
    ("keys", "smoke", "limited"),
    [
        ("a=secret-of-a", None, set()),
        ("a=secret-of-a", "secret-of-smoke", {"smoke"}),
        ("a=secret-of-a,b=secret-of-b", "secret-of-smoke", {"a", "b", "smoke"}),
    ],
)
async def test_whoever_is_not_the_only_caller_has_a_share_of_the_bytes(
    keys: str, smoke: str | None, limited: set[str]
) -> None:
    settings = gateway_settings("http://127.0.0.1:1", api_keys=keys, smoke_api_key=smoke)
    threshold = build_gateway(settings, Share()).threshold
    assert threshold.bodies.of_each.keys() == threshold.unproven_of_each.keys() == limited
