"""Words that the gateway adds to an error, and what it notes of a request, to help the caller."""

from __future__ import annotations

from typing import Any

from app.errors import GatewayError, GuardrailMissing
from app.execution.operations.operation import Operation
from app.observability.observer import RequestRecord
from app.routing.planner import Target


def where_else(operation: Operation[Any], target: Target) -> str:
    """What helps a caller whose model was not found; who speaks Bedrock gets Bedrock's own words."""
    if operation.mode == "translated" and target.on_mantle:
        return f" (on mantle Bedrock has it for callers of: {target.on_mantle})"
    return " (GET /v1/models lists the text models that can be called)"


def without_guardrail(error: GatewayError) -> GuardrailMissing:
    """Turn Bedrock's refusal of an unknown guardrail into the error of a deployment that names one."""
    missing = GuardrailMissing("the guardrail of this deployment is not there", detail="GUARDRAIL_ID")
    missing.upstream_request_id = error.upstream_request_id
    return missing


def note_profile(record: RequestRecord) -> None:
    """Say, once for a request of however many calls, that a profile was asked instead of the model's own id."""
    if "inference_profile" not in record.adjusted:
        record.adjusted.append("inference_profile")
