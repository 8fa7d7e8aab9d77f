import httpx
from starlette.applications import Starlette

from app.admin.health import health_routes


async def request(reasons: list[str], path: str, method: str = "GET") -> httpx.Response:
    application = Starlette(routes=health_routes(lambda: reasons, lambda: {"a.b@here": "open"}))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, path)


async def test_health_is_200_while_the_gateway_is_not_ready() -> None:
    answer = await request(["bedrock: gone"], "/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert (await request([], "/health", "HEAD")).status_code == 200


async def test_readiness_reports_the_reasons_and_the_breakers() -> None:
    assert (await request([], "/health/ready")).json() == {
        "status": "ready",
        "reasons": [],
        "breakers": {"a.b@here": "open"},
    }
    answer = await request(["bedrock: gone", "credentials: none"], "/health/ready")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "not ready", "reasons": ["bedrock: gone", "credentials: none"], "breakers": {"a.b@here": "open"}},
    )
