"""One guardrail, which blocks a single word, so that both outcomes of ApplyGuardrail can be had."""

from math import ceil

from app.converse.guardrail import GuardrailAssessment, GuardrailTraceAssessment, GuardrailUsage
from app.converse.request import GuardrailConfiguration
from app.emulator.errors import ServiceError, invalid
from app.wire.json import JsonObject

GUARDRAIL = "outcropguard"
BLOCKED_WORD = "forbidden"
BLOCKED_MESSAGE = "Sorry, the guardrail blocked this."

_UNIT_CHARACTERS = 1000


def is_blocked(config: GuardrailConfiguration, text: str) -> bool:
    """True if the guardrail of a Converse call blocks its input.

    Raises:
        ServiceError: no such guardrail, or its version is missing.
    """
    if not config:
        return False
    check_guardrail(config.get("guardrailIdentifier", ""), config.get("guardrailVersion", ""))
    return BLOCKED_WORD in text.lower()


def check_guardrail(identifier: str, version: str) -> None:
    """Check the guardrail that a call names.

    Raises:
        ServiceError: no such guardrail, or its version is missing.
    """
    if not identifier or not version:
        raise invalid("The guardrailIdentifier and guardrailVersion fields must be defined together.")
    if identifier.rpartition("/")[2] != GUARDRAIL:
        raise invalid("The provided guardrail identifier is invalid.")


def trace_of(config: GuardrailConfiguration, texts: list[str]) -> GuardrailTraceAssessment:
    """Return what a trace reports of the input, and of an answer unless the input was blocked."""
    examined: list[GuardrailAssessment] = [{"invocationMetrics": {"usage": _usage(len(text))}} for text in texts]
    identifier = config["guardrailIdentifier"].rpartition("/")[2]
    trace: GuardrailTraceAssessment = {"inputAssessment": {identifier: examined[0]}}
    if examined[1:]:
        trace["outputAssessments"] = {identifier: examined[1:]}
    return trace


def _usage(characters: int) -> GuardrailUsage:
    """Return the units of a guardrail with word and content filters."""
    units = ceil(characters / _UNIT_CHARACTERS)
    return {
        "topicPolicyUnits": 0,
        "contentPolicyUnits": units,
        "wordPolicyUnits": units,
        "sensitiveInformationPolicyUnits": 0,
        "sensitiveInformationPolicyFreeUnits": 0,
        "contextualGroundingPolicyUnits": 0,
    }


def apply_guardrail(identifier: str, request: JsonObject) -> dict[str, object]:
    """The response of ApplyGuardrail.

    Raises:
        ServiceError: no such guardrail.
    """
    if identifier.rpartition("/")[2] != GUARDRAIL:
        raise ServiceError("ResourceNotFoundException", "The provided guardrail identifier is invalid.")
    texts = [block["text"]["text"] for block in request["content"] if "text" in block]
    is_blocked = any(BLOCKED_WORD in text.lower() for text in texts)
    characters = sum(len(text) for text in texts)
    match = {"match": BLOCKED_WORD, "action": "BLOCKED", "detected": True}
    return {
        "action": "GUARDRAIL_INTERVENED" if is_blocked else "NONE",
        "outputs": [{"text": BLOCKED_MESSAGE}] if is_blocked else [],
        "assessments": [{"wordPolicy": {"customWords": [match], "managedWordLists": []}}] if is_blocked else [],
        "usage": _usage(characters),
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    }
