"""Anthropic Messages bodies over InvokeModel."""

import contextlib
import json
from base64 import b64encode
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.calls import CLAUDE, invoke
from tests.emulator.converse_requests import HAIKU_3

pytestmark = pytest.mark.loopback

TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


def test_turns_of_the_same_role_are_joined(bedrock: Any) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}]
    message = invoke(bedrock, messages=messages, system="s")
    assert message["content"] == [{"type": "text", "text": "a\nb"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)


def test_a_stop_sequence_ends_the_text_and_is_named(bedrock: Any) -> None:
    message = invoke(bedrock, stop_sequences=["i"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "i")
    assert message["content"][0]["text"] == "h"


@pytest.mark.parametrize(
    ("model", "system_turns"),
    [(CLAUDE, []), ("us.anthropic.claude-sonnet-5", [{"role": "system", "content": "Be brief."}])],
)
def test_a_tool_is_called_and_its_result_is_reported(bedrock: Any, model: str, system_turns: list[Any]) -> None:
    called = invoke(bedrock, tools=[TOOL], tool_choice={"type": "any"})
    assert called["stop_reason"] == "tool_use"
    (call,) = called["content"]
    assert (call["name"], call["input"]) == ("look", {"q": "sample"})
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny", "is_error": False}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": called["content"]},
        {"role": "user", "content": [result]},
        *system_turns,
    ]
    message = invoke(bedrock, model, tools=[TOOL], messages=messages)
    assert message["content"][0]["text"] == "The tools said: sunny"


def test_tool_choice_forbids_or_names_a_tool(bedrock: Any) -> None:
    assert invoke(bedrock, tools=[TOOL], tool_choice={"type": "none"})["content"] == [{"type": "text", "text": "hi"}]
    assert invoke(bedrock, tools=[TOOL], tool_choice={"type": "tool", "name": "look"})["stop_reason"] == "tool_use"


def test_structured_output_conforms_to_its_schema(bedrock: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    message = invoke(bedrock, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert message["content"][0]["text"] == '{"a":7}'


def test_signed_thinking_is_accepted_back(bedrock: Any) -> None:
    message = invoke(bedrock, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": "on"},
    ]
    assert invoke(bedrock, messages=messages)["content"][0]["text"] == "on"


@pytest.mark.parametrize("scenario", ["redacted", "citations", "servertool", "cached", "malformed", "guarded"])
def test_scenarios_become_anthropic_content(bedrock: Any, scenario: str) -> None:
    message = invoke(bedrock, f"scripted.{scenario}-v1:0")
    expected = {
        "redacted": lambda: message["content"][0]["type"] == "redacted_thinking",
        "citations": lambda: message["content"][1]["citations"][0]["document_title"] == "a document",
        "servertool": lambda: (
            [block["type"] for block in message["content"]] == ["server_tool_use", "code_execution_tool_result", "text"]
        ),
        "cached": lambda: (
            (message["usage"]["cache_read_input_tokens"], message["usage"]["cache_creation_input_tokens"])
            == (1200, 300)
        ),
        "malformed": lambda: message["stop_reason"] == "end_turn",
        "guarded": lambda: message["stop_reason"] == "refusal",
    }
    assert expected[scenario]()


def test_media_and_search_results_are_accepted(bedrock: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(b"x").decode()}
    content = [
        {"type": "image", "source": source},
        {"type": "document", "source": {"type": "text", "data": "t"}},
        {"type": "search_result", "title": "t"},
        {"type": "text", "text": "look"},
    ]
    assert invoke(bedrock, messages=[{"role": "user", "content": content}])["content"][0]["text"] == "look"


@pytest.mark.parametrize(
    ("role", "block", "message"),
    [
        ("assistant", {"type": "tool_use", "id": "t:0", "name": "t", "input": {}}, "should match pattern"),
        ("assistant", {"type": "tool_use", "id": "t", "name": "t", "input": {}}, "ids must be unique"),
        ("assistant", {"type": "image", "source": {}}, "'image' blocks are not permitted"),
        ("user", {"type": "text", "text": "and"}, "maximum allowed number of output tokens"),
    ],
)
def test_a_body_is_refused_with_the_message_of_the_model(bedrock: Any, role: str, block: Any, message: str) -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "t", "input": {}}]},
        {"role": role, "content": [block]},
    ]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4097, "messages": messages}
    with pytest.raises(ClientError) as caught:
        bedrock.invoke_model(modelId=HAIKU_3, body=json.dumps(body))
    assert message.lower() in caught.value.response["Error"]["Message"].lower()


@pytest.mark.parametrize(("version", "message"), [("2026-10-21", "'document' blocks"), ("bedrock-2023-05-31", "")])
def test_assistant_documents_are_refused_since_the_newest_version(bedrock: Any, version: str, message: str) -> None:
    said = {"role": "assistant", "content": [{"type": "document", "source": {}}, {"type": "text", "text": "b"}]}
    messages = [{"role": "user", "content": "a"}, said, {"role": "user", "content": "c"}]
    body = json.dumps({"anthropic_version": version, "max_tokens": 9, "messages": messages})
    refused = pytest.raises(ClientError, match=message) if message else contextlib.nullcontext()
    with refused:
        assert bedrock.invoke_model(modelId=HAIKU_3, body=body)["body"].read()
