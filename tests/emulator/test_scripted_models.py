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


def _tools(count: int) -> Any:
    properties = {"limit": {"type": "number"}, "command": {"type": "string"}, "lines": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["command", "lines"]}
    specifications = [{"name": f"Tool{number}", "inputSchema": {"json": schema}} for number in range(count)]
    return {"tools": [{"toolSpec": specification} for specification in specifications]}


@pytest.mark.parametrize("model", ["us.anthropic.claude-opus-5-5", "us.openai.gpt-6.2-sol", "amazon.nova-pro-v1:0"])
def test_an_agent_gets_plain_text_unless_it_asks_for_a_tool(bedrock: Any, model: str) -> None:
    def answer(prompt: str, tools: int = 5, *notes: str) -> list[Any]:
        texts = [{"text": text} for text in ("<note>Use Tool1 often.</note>", prompt, *notes)]
        reply = bedrock.converse(modelId=model, messages=[{"role": "user", "content": texts}], toolConfig=_tools(tools))
        content: list[Any] = reply["output"]["message"]["content"]
        return content

    assert answer("Say hello.") == [{"text": "This is a scripted answer. You asked: Say hello."}]
    (_, call) = answer("Use Tool3 to run `ls -l`.")
    # what the schema does not require is left out
    assert (call["toolUse"]["name"], call["toolUse"]["input"]) == ("Tool3", {"command": "ls -l", "lines": 7})
    # an instruction that joined the turn follows the prompt
    (_, call) = answer("Use Tool3 to run `ls -l`.", 5, "As a rule, use Tool2 with `cat`.")
    assert (call["toolUse"]["name"], call["toolUse"]["input"]["command"]) == ("Tool3", "ls -l")
    assert [next(iter(block)) for block in answer("Use Tool9.")] == ["text"]
    # a program with few tools wants them called
    assert answer("Say hello.", tools=1)[-1]["toolUse"]["name"] == "Tool0"


def test_an_agent_that_has_its_model_reason_gets_the_same_answer_behind_the_reasoning(bedrock: Any) -> None:
    reply = bedrock.converse(
        modelId="us.anthropic.claude-opus-5-5",
        messages=MESSAGES,
        toolConfig=_tools(5),
        additionalModelRequestFields={"thinking": {"type": "adaptive"}},
    )
    content = reply["output"]["message"]["content"]
    assert [next(iter(block)) for block in content] == ["reasoningContent", "text"]
    assert reply["stopReason"] == "end_turn"
