"""Liveness and readiness."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

import app
from app.admin.direct_route import DirectRoute

ReadinessCheck = Callable[[], Sequence[str]]


class Health(BaseModel):
    """The process is alive."""

    status: str = "ok"
    version: str = app.__version__


class Readiness(BaseModel):
    """Whether the process accepts requests, and the reasons if not."""

    status: str
    reasons: list[str] = Field(default_factory=list)
    breakers: dict[str, str] = Field(
        default_factory=dict,
        description="Targets that get no requests because they failed repeatedly: open or half_open.",
    )


def health_routes(reasons_not_ready: ReadinessCheck, breakers: Callable[[], dict[str, str]]) -> Sequence[DirectRoute]:
    """Return the health endpoints. They need no key."""

    async def health(_: Request) -> JSONResponse:
        """Answers in every state, and checks nothing."""
        return JSONResponse(Health().model_dump())

    async def ready(_: Request) -> JSONResponse:
        """Ready when AWS credentials are resolved and Bedrock was reachable when last seen."""
        reasons = list(reasons_not_ready())
        state = Readiness(status="not ready" if reasons else "ready", reasons=reasons, breakers=breakers())
        return JSONResponse(state.model_dump(), 503 if reasons else 200)

    return [
        DirectRoute(
            "/health",
            health,
            "Check that the process is alive",
            lambda: {200: _described(Health, "The process is alive.")},
        ),
        DirectRoute(
            "/health/ready",
            ready,
            "Check that the process accepts requests",
            lambda: {
                200: _described(Readiness, "The process accepts requests."),
                503: _described(Readiness, "Not ready, with the reasons."),
            },
        ),
    ]


def _described(model: type[BaseModel], meaning: str) -> dict[str, Any]:
    """Document a response. With `model`, FastAPI would import pydantic's first version, 2 MB."""
    return {"description": meaning, "content": {"application/json": {"schema": model.model_json_schema()}}}
