"""ApplyGuardrail: one guardrail that blocks a single word, so that both outcomes can be had."""

from typing import Any

from app.converse.request import GuardrailConfiguration
from app.emulator.errors import ServiceError, invalid

GUARDRAIL = "outcropguard"
BLOCKED_WORD = "forbidden"
BLOCKED_MESSAGE = "Sorry, the guardrail blocked this."

_UNITS = ("topic", "content", "word", "sensitiveInformation", "contextualGrounding")


def is_blocked(config: GuardrailConfiguration, text: str) -> bool:
    """True if a Converse call with this guardrailConfig is stopped at its input.

    Raises:
        ServiceError: no such guardrail, or no version of it is named.
    """
    if not config:
        return False
    check_guardrail(config.get("guardrailIdentifier", ""), config.get("guardrailVersion", ""))
    return BLOCKED_WORD in text.lower()


def check_guardrail(identifier: str, version: str) -> None:
    """Refuse a call that names no guardrail that there is.

    Raises:
        ServiceError: no such guardrail, or no version of it is named.
    """
    if not identifier or not version:
        raise invalid("The guardrailIdentifier and guardrailVersion fields must be defined together.")
    if identifier.rpartition("/")[2] != GUARDRAIL:
        raise invalid("The provided guardrail identifier is invalid.")


def apply_guardrail(identifier: str, request: dict[str, Any]) -> dict[str, Any]:
    """The assessment of a content.

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
        "usage": {f"{unit}PolicyUnits": int(unit == "word") for unit in _UNITS}
        | {"sensitiveInformationPolicyFreeUnits": 0},
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    }
