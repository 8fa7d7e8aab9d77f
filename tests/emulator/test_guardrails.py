"""ApplyGuardrail, and guardrails of Converse."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.converse_requests import ECHO, assert_refused, user

pytestmark = pytest.mark.loopback

REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (ECHO, [user("a")], {"guardrailConfig": {"guardrailIdentifier": "outcropguard"}}, "must be defined together"),
    (
        ECHO,
        [user("a")],
        {"guardrailConfig": {"guardrailIdentifier": "nobody", "guardrailVersion": "1"}},
        "The provided guardrail identifier is invalid.",
    ),
]


def test_the_blocked_word_is_blocked(bedrock: Any) -> None:
    def apply(text: str, guardrail: str = "outcropguard") -> Any:
        return bedrock.apply_guardrail(
            guardrailIdentifier=guardrail, guardrailVersion="1", source="INPUT", content=[{"text": {"text": text}}]
        )

    assert apply("fine")["action"] == "NONE"
    assert apply("a Forbidden word")["action"] == "GUARDRAIL_INTERVENED"
    assert apply("x", "arn:aws:bedrock:us-east-1:123456789012:guardrail/outcropguard")["action"] == "NONE"
    with pytest.raises(ClientError, match="guardrail identifier is invalid"):
        apply("x", "nobody")
    config = {"guardrailIdentifier": "outcropguard", "guardrailVersion": "1"}
    messages: Any = [{"role": "user", "content": [{"text": "forbidden"}]}]
    assert (
        bedrock.converse(modelId="scripted.echo-v1:0", messages=messages, guardrailConfig=config)["stopReason"]
        == "guardrail_intervened"
    )


@pytest.mark.parametrize(("model", "messages", "more", "message"), REFUSED)
def test_unknown_guardrails_are_refused(bedrock: Any, model: str, messages: Any, more: Any, message: str) -> None:
    assert_refused(bedrock, model, messages, more, message)
