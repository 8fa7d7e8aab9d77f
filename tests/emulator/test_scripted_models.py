"""Scripted models over Converse and ConverseStream."""

from typing import Any

import pytest

from app.converse.fold import fold
from tests.emulator.calls import MESSAGES

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    "scenario",
    ["echo", "long", "thinking", "redacted", "citations", "servertool", "silent", "guarded", "cached", "media"],
)
def test_a_stream_adds_up_to_the_reply_of_converse(bedrock: Any, scenario: str) -> None:
    model = f"scripted.{scenario}-v1:0"
    complete = bedrock.converse(modelId=model, messages=MESSAGES)
    stream = bedrock.converse_stream(modelId=model, messages=MESSAGES)["stream"]
    folded: Any = fold(list(stream))
    stream.close()
    assert folded["output"] == complete["output"]
    assert folded["stopReason"] == complete["stopReason"]
    assert folded["usage"] == complete["usage"]


def test_service_tier_and_requested_fields_are_returned(bedrock: Any) -> None:
    reply = bedrock.converse(
        modelId="scripted.echo-v1:0",
        messages=MESSAGES,
        serviceTier={"type": "flex"},
        inferenceConfig={"stopSequences": ["there", "h"]},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )
    assert reply["serviceTier"] == {"type": "flex"}
    assert (reply["stopReason"], reply["additionalModelResponseFields"]) == ("stop_sequence", {"stop_sequence": "h"})
    assert reply["output"]["message"]["content"] == []
