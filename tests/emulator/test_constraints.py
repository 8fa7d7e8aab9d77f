"""Requests that violate botocore's service model."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.converse_requests import ECHO, assistant, tool_use, user

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"messages": [{"role": "wizard", "content": [{"text": "a"}]}]},
            "Value 'wizard' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant, system]",
        ),
        (
            {"toolConfig": {"tools": [{"toolSpec": {"name": "a.b", "inputSchema": {"json": {}}}}]}},
            "Value 'a.b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
        ),
        (
            {"messages": [user("a"), assistant(tool_use(name="x" * 65))]},
            "Value at 'messages.2.member.content.1.member.toolUse.name' failed to satisfy constraint: Member must have length less than or equal to 64",
        ),
        (
            {"inferenceConfig": {"temperature": 1.5}},
            "Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
        ),
        (
            {"requestMetadata": {"a": "é"}},
            "Value at 'requestMetadata' failed to satisfy constraint: Map value must satisfy constraint: [",
        ),
        ({"guardrailConfig": {"trace": "loud"}}, "Value 'loud' at 'guardrailConfig.trace'"),
    ],
)
def test_a_violated_constraint_is_described(bedrock: Any, more: Any, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        bedrock.converse(**{"modelId": ECHO, "messages": [user("a")], **more})
    described = caught.value.response["Error"]["Message"]
    assert message in described
    assert described.startswith("1 validation error detected: ")


def test_every_violated_constraint_is_named(bedrock: Any) -> None:
    with pytest.raises(ClientError, match="2 validation errors detected: ") as caught:
        bedrock.converse(modelId="a b", messages=[user("a")], inferenceConfig={"topP": 7})
    assert "'modelId'" in str(caught.value)
    assert "'inferenceConfig.topP'" in str(caught.value)
