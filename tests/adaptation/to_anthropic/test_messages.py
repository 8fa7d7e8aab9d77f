"""Converse as Anthropic's Messages: each block has its own, and a stream says what the complete message does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adaptation.adapted_document import adapt_document
from app.adaptation.to_anthropic.blocks import message_blocks
from app.adaptation.to_anthropic.messages_reply import MessageEvents, MessageUsage, from_message
from app.adaptation.to_anthropic.messages_request import message_request
from app.converse.call import Intent, ModelCall
from app.converse.events import Event
from app.converse.fold import unfold
from app.converse.usage import Usage
from app.emulator.anthropic_messages.message import gather_message
from app.emulator.anthropic_messages.stream import to_anthropic
from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from tests.adaptation.calls import CLAUDE_46, adapt_call, assistant, spec, use, user
from tests.adaptation.to_openai.test_answers import REASONING, TEXT, TOOL, reply, streamed

MYTHOS = capabilities_of(parse_model_id("anthropic.claude-mythos-5"))


def body_of(messages: list[Any], intent: Intent | None = None, *, is_streamed: bool = False, **body: Any) -> Any:
    call = ModelCall("m", {"messages": messages, **body}, intent or Intent())  # type: ignore[typeddict-item]
    return adapt_document(call, "anthropic", MYTHOS, is_streamed=is_streamed)


def test_settings() -> None:
    made = body_of(
        [user("hi")],
        Intent(effort="low", single_tool_call=True),
        is_streamed=True,
        system=[{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        inferenceConfig={"maxTokens": 9, "stopSequences": ["x"]},
        toolConfig={
            "tools": [spec("t"), {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "toolChoice": {"tool": {"name": "t"}},
        },
        additionalModelRequestFields={"novel": 1},
    )
    assert made.body == {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "stop_sequences": ["x"],
        "stream": True,
        "tools": [
            {
                "name": "t",
                "input_schema": {"type": "object", "properties": {}},
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            }
        ],
        "tool_choice": {"type": "tool", "name": "t", "disable_parallel_tool_use": True},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low"},
    }
    assert made.ignored == ["additionalModelRequestFields.novel"]


@pytest.mark.parametrize(
    ("intent", "choice", "sent"),
    [
        (Intent(), {}, {"type": "auto"}),
        (Intent(), {"toolChoice": {"any": {}}}, {"type": "any"}),
        (Intent(forbid_tools=True), {}, {"type": "none"}),
    ],
)
def test_tool_choices(intent: Intent, choice: Any, sent: Any) -> None:
    made = body_of([user("hi")], intent, toolConfig={"tools": [spec("t")], **choice})
    assert (made.body["tool_choice"], made.body["max_tokens"]) == (sent, 32768)


def test_blocks() -> None:
    image = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    thinking = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    redacted = {"reasoningContent": {"redactedContent": "eA=="}}
    result = {"toolResult": {"toolUseId": "a", "content": [{"json": 1}, image], "status": "error"}}
    documents = [
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": "JVBERi0="}, "citations": {"enabled": True}}},
        {"document": {"format": "txt", "name": "b", "source": {"bytes": "eA=="}, "context": "c"}},
        {"document": {"name": "c", "source": {"text": "y"}}},
        {"document": {"name": "d", "source": {"content": [{"text": "z"}]}}},
    ]
    found = {"searchResult": {"source": "s", "title": "t", "content": [{"text": "c"}]}}
    made = body_of(
        [
            user("x", image),
            assistant(thinking, redacted, use("a")),
            user(result),
            assistant("ok"),
            user("read", *documents, found),
        ]
    )
    first, second, third, _, last = made.body["messages"]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    assert first["content"] == [{"type": "text", "text": "x"}, picture]
    assert second["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "tool_use", "id": "a", "name": "t", "input": {}},
    ]
    assert third["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [{"type": "text", "text": "1"}, picture],
            "is_error": True,
        }
    ]
    plain = {"type": "text", "media_type": "text/plain"}
    assert [block.get("source") for block in last["content"][1:5]] == [
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        {**plain, "data": "x"},
        {**plain, "data": "y"},
        {"type": "content", "content": [{"type": "text", "text": "z"}]},
    ]
    assert (last["content"][1]["citations"], last["content"][2]["context"]) == ({"enabled": True}, "c")
    assert last["content"][5] == {
        "type": "search_result",
        "source": "s",
        "title": "t",
        "content": [{"type": "text", "text": "c"}],
    }


@pytest.mark.parametrize(
    "block",
    [
        {"document": {"format": "docx", "name": "a", "source": {"bytes": "eA=="}}},
        {"document": {"format": "txt", "name": "a", "source": {"bytes": "/w=="}}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}},
    ],
)
def test_what_messages_does_not_take_is_refused(block: Any) -> None:
    with pytest.raises(InvalidRequest):
        body_of([user("x", block)])


@given(st.lists(st.one_of(TEXT, TOOL, REASONING), max_size=5))
def test_events_say_what_the_message_does(blocks: list[Any]) -> None:
    reason = "tool_use" if any("toolUse" in block for block in blocks) else "end_turn"

    async def unfolded() -> AsyncIterator[Event]:
        for event in unfold(reply(*blocks, stop_reason=reason)):
            yield event

    async def documents() -> list[Any]:
        return [each async for each in to_anthropic(unfolded(), "m", {}, 3)]

    async def again(made: list[Any]) -> AsyncIterator[Any]:
        for each in made:
            yield each

    made = asyncio.run(documents())
    message, _ = asyncio.run(gather_message(again(made)))
    whole: Any = from_message(message)
    folded = streamed(made, MessageEvents())
    assert folded["output"] == whole["output"]
    assert (folded["stopReason"], whole["stopReason"]) == (reason, reason)
    assert whole["usage"]["outputTokens"] == folded["usage"]["outputTokens"] == 4


def test_usage_adds_up_over_the_events() -> None:
    usage = MessageUsage()
    assert usage({"type": "ping"}) is None
    usage({"message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 3}}})
    assert usage({"usage": {"output_tokens": 7}}) == Usage(5, 7, 3)
    refused = {"type": "message", "content": [], "stop_reason": "refusal", "usage": {}}
    assert from_message(refused)["stopReason"] == "content_filtered"
    with pytest.raises(UpstreamFailed):
        from_message({})


def test_parts_without_content_are_left_out() -> None:
    blocks = message_blocks([{"cachePoint": {"type": "default"}}, {"text": ""}, {"text": "hi"}])
    assert blocks == [{"type": "text", "text": "hi"}]
    adapted = adapt_call(CLAUDE_46, toolConfig={"tools": [{"cachePoint": {"type": "default"}}, spec("t")]})
    body = message_request(adapted, forbid_tools=False, is_streamed=False)
    assert [tool["name"] for tool in body["tools"]] == ["t"]
    assert "cache_control" not in body["tools"][0]


def test_an_effort_is_sent_and_the_tier_and_labels_are_named() -> None:
    more: Any = {"outputConfig": {"effort": "low"}, "serviceTier": {"type": "flex"}, "requestMetadata": {"a": "b"}}
    adapted = adapt_call(CLAUDE_46)
    adapted.body |= more
    body = message_request(adapted, forbid_tools=False, is_streamed=False)
    assert body["output_config"] == {"effort": "low"}
    assert {"service_tier", "metadata"} <= set(adapted.ignored)


MESSAGE: Any = {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}


def test_blocks_of_an_answer() -> None:
    blocks = [
        {"type": "text", "text": ""},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "novel"},
        {"type": "text", "text": "hi"},
    ]
    content = from_message({**MESSAGE, "type": "message", "content": blocks})["output"]["message"]["content"]
    assert content == [{"reasoningContent": {"redactedContent": "eA=="}}, {"text": "hi"}]


def test_events_of_an_answer() -> None:
    events = MessageEvents()
    assert events.feed({"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}})
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    (made,) = events.feed({"type": "content_block_start", "index": 0, "content_block": hidden})
    assert made["contentBlockDelta"]["delta"] == {"reasoningContent": {"redactedContent": "eA=="}}
    events.feed({"type": "content_block_stop", "index": 0})
    called = {"type": "tool_use", "id": "a", "name": "t", "input": {"b": 1}}
    _, delta = events.feed({"type": "content_block_start", "index": 1, "content_block": called})
    assert delta["contentBlockDelta"]["delta"] == {"toolUse": {"input": '{"b":1}'}}
    for ignored in ({"type": "ping"}, {"type": "content_block_delta", "index": 1, "delta": {"type": "novel"}}):
        assert events.feed(ignored) == []
