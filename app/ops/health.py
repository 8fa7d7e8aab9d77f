"""Liveness and readiness."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

import app

ReadinessCheck = Callable[[], Sequence[str]]


class Health(BaseModel):
    """The process is alive."""

    status: str = "ok"
    version: str = app.__version__


class Readiness(BaseModel):
    """Whether requests should be sent here, and if not, why."""

    status: str
    reasons: list[str] = Field(default_factory=list)
    breakers: dict[str, str] = Field(
        default_factory=dict, description="Targets that are left alone because they kept failing: open or half_open."
    )


def health_router(reasons_not_ready: ReadinessCheck, breakers: Callable[[], dict[str, str]]) -> APIRouter:
    """The health endpoints. They need no key."""
    router = APIRouter(tags=["Operations"])

    @router.get("/health", summary="Is the process alive?")
    async def health() -> Health:
        """Answers in every state, without looking at anything."""
        return Health()

    @router.get(
        "/health/ready",
        summary="Should requests be sent here?",
        responses={503: {"model": Readiness, "description": "Not ready; the reasons say why."}},
    )
    async def ready(response: Response) -> Readiness:
        """Ready when AWS credentials are resolved and Bedrock was reachable when last seen."""
        reasons = list(reasons_not_ready())
        if reasons:
            response.status_code = 503
        return Readiness(status="not ready" if reasons else "ready", reasons=reasons, breakers=breakers())

    # Some load balancers ask with HEAD.
    router.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)
    router.add_api_route("/health/ready", ready, methods=["HEAD"], include_in_schema=False)
    return router
