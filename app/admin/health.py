"""Liveness and readiness."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import app

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


def health_router(reasons_not_ready: ReadinessCheck, breakers: Callable[[], dict[str, str]]) -> APIRouter:
    """Return the health endpoints. They need no key."""
    router = APIRouter(tags=["Operations"])

    @router.get(
        "/health",
        summary="Check that the process is alive",
        response_model=None,
        responses={200: _described(Health, "The process is alive.")},
    )
    async def health() -> JSONResponse:
        """Answers in every state, and checks nothing."""
        return JSONResponse(Health().model_dump())

    @router.get(
        "/health/ready",
        summary="Check that the process accepts requests",
        response_model=None,
        responses={
            200: _described(Readiness, "The process accepts requests."),
            503: _described(Readiness, "Not ready, with the reasons."),
        },
    )
    async def ready() -> JSONResponse:
        """Ready when AWS credentials are resolved and Bedrock was reachable when last seen."""
        reasons = list(reasons_not_ready())
        state = Readiness(status="not ready" if reasons else "ready", reasons=reasons, breakers=breakers())
        return JSONResponse(state.model_dump(), 503 if reasons else 200)

    # some load balancers send HEAD
    router.add_api_route("/health", health, methods=["HEAD"], response_model=None, include_in_schema=False)
    router.add_api_route("/health/ready", ready, methods=["HEAD"], response_model=None, include_in_schema=False)
    return router


def _described(model: type[BaseModel], meaning: str) -> dict[str, Any]:
    """Document a response. With `model`, FastAPI would import pydantic's first version, 2 MB."""
    return {"description": meaning, "content": {"application/json": {"schema": model.model_json_schema()}}}
