"""The units that a guardrail has examined, which Bedrock bills beside the tokens: 1,000 characters each, or an image.

Converse reports them in the trace of a reply, InvokeModel in the member TRACE of its body, ApplyGuardrail as `usage`
(botocore's service model, GuardrailUsage). A trace is there only if the request asks for it.
"""

from __future__ import annotations

from app.converse.usage import count_in

# by name, as the ledger and the prices have them
Units = tuple[tuple[str, int], ...]

TRACE = "amazon-bedrock-trace"
NAMES = {
    "contentPolicyUnits": "content",
    "contentPolicyImageUnits": "content_image",
    "topicPolicyUnits": "topic",
    "wordPolicyUnits": "word",
    "sensitiveInformationPolicyUnits": "sensitive_information",
    "sensitiveInformationPolicyFreeUnits": "sensitive_information_free",
    "contextualGroundingPolicyUnits": "contextual_grounding",
    "automatedReasoningPolicyUnits": "automated_reasoning",
}
_MAX_DEPTH = 8


def units_of(usage: object) -> Units:
    """Read the `usage` of one examination. Names without units are left out."""
    counted = usage if isinstance(usage, dict) else {}
    return tuple((name, count) for member, name in NAMES.items() if (count := count_in(counted, member)))


def units_in(trace: object) -> Units:
    """Add up all examinations that a trace reports: of the input, and of each part of the output."""
    sums: dict[str, int] = {}
    _add(trace, sums, _MAX_DEPTH)
    return tuple(sums.items())


def _add(part: object, sums: dict[str, int], depth: int) -> None:
    if not depth:
        return
    if isinstance(part, dict):
        metrics = part.get("invocationMetrics")
        for name, count in units_of(metrics.get("usage")) if isinstance(metrics, dict) else ():
            sums[name] = sums.get(name, 0) + count
        for member, value in part.items():
            if member != "invocationMetrics":
                _add(value, sums, depth - 1)
    elif isinstance(part, list):
        for value in part:
            _add(value, sums, depth - 1)
