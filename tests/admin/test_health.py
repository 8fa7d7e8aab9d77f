import httpx
from fastapi import FastAPI

from app.admin.health import health_router


async def ask(reasons: list[str], path: str, method: str = "GET") -> httpx.Response:
    application = FastAPI()
    application.include_router(health_router(lambda: reasons, lambda: {"a.b@here": "open"}))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, path)


async def test_alive_whatever_the_state() -> None:
    answer = await ask(["bedrock: gone"], "/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert (await ask([], "/health", "HEAD")).status_code == 200


async def test_ready_or_why_not() -> None:
    assert (await ask([], "/health/ready")).json() == {
        "status": "ready",
        "reasons": [],
        "breakers": {"a.b@here": "open"},
    }
    answer = await ask(["bedrock: gone", "credentials: none"], "/health/ready")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "not ready", "reasons": ["bedrock: gone", "credentials: none"], "breakers": {"a.b@here": "open"}},
    )
