"""`/metrics` serves clients on other machines only with a key."""

import httpx
import pytest
from starlette.applications import Starlette

from app.admin.metrics import metrics_route


async def status(key: str, client: str, headers: dict[str, str]) -> int:
    application = Starlette(routes=[metrics_route(lambda: b"m 1\n", "text/plain", key)])
    transport = httpx.ASGITransport(application, client=(client, 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as caller:
        return (await caller.get("/metrics", headers=headers)).status_code


@pytest.mark.parametrize(
    ("key", "client", "headers", "expected"),
    [
        ("", "127.0.0.1", {}, 200),
        ("", "::1", {}, 200),
        ("", "10.0.0.1", {}, 403),
        ("", "127.0.0.1", {"x-forwarded-for": "10.0.0.1"}, 403),
        ("metrics-secret", "127.0.0.1", {}, 401),
        ("metrics-secret", "10.0.0.1", {"authorization": "Bearer metrics-secret"}, 200),
    ],
)
async def test_metrics_beyond_this_machine_need_a_key(
    key: str, client: str, headers: dict[str, str], expected: int
) -> None:
    """Findings, Low: without METRICS_KEY, everyone who reached the port read the metrics."""
    assert await status(key, client, headers) == expected
