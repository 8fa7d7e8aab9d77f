"""Refusals with their paths, rare shapes, and streams event by event."""

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.fold import unfold
from app.converse.well_formed import WellFormed
from app.dialects.http.documents import parse_object, validate
from app.dialects.openai.chat.request import to_call
from app.dialects.openai.chat.response import ChatResponseContext, finish_reason, from_reply
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.chat.stream import ChunkStream
from app.errors import InvalidRequest, UpstreamFailed
from app.wire import json
from tests.dialects.streams import BLOCKS, TEXTS, joined, joined_in_batches

USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}
RESPONSE_CONTEXT = ChatResponseContext("id", 1, "m", frozenset({"custom"}))


def call(**body: Any) -> Any:
    return to_call(validate({"messages": [USER], **body}, ChatRequest))


def content(*parts: Any) -> Any:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def file(**file: Any) -> Any:
    return content({"type": "file", "file": file})


def assistant(arguments: str) -> Any:
    tool_call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"messages": [USER, {"role": "assistant", "tool_calls": [tool_call]}]}


REFUSED: list[tuple[Any, str]] = [
    (
        content({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        content({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        content({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}),
        "messages[0].content[0].image_url.url",
    ),
    (
        content({"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": 5}}),
        "messages[0].content[1].image_url.url",
    ),
    (content({"type": "text", "text": "a"}, {"type": "text", "text": 5}), "messages[0].content[1].text"),
    (content({"type": "text"}), "messages[0].content[0].text"),
    (content({"type": "wizard"}), "messages[0].content[0]"),
    (
        content({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "2h"}}),
        "messages[0].content[0].cache_control.ttl",
    ),
    (file(file_id="f"), "messages[0].content[0].file.file_data"),
    (file(), "messages[0].content[0].file.file_data"),
    (file(file_data="AA==", filename="a.exe"), "messages[0].content[0].file.file_data"),
    (file(file_data="data:application/zip;base64,AA=="), "messages[0].content[0].file.file_data"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
                },
            ]
        },
        "messages[1].content[0]",
    ),
    (
        {
            "messages": [
                {"role": "system", "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]},
                USER,
            ]
        },
        "messages[0].content[0]",
    ),
    (
        {
            "messages": [
                USER,
                {
                    "role": "tool",
                    "tool_call_id": "a",
                    "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "mp3"}}],
                },
            ]
        },
        "messages[1].content[0]",
    ),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "g"}}}, "tool_choice"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        "tool_choice",
    ),
    (
        {
            "tools": [TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
        },
        "tool_choice",
    ),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
    ({"stream_options": {"include_usage": "maybe"}}, "stream_options.include_usage"),
    ({"top_p": 2}, "top_p"),
    ({"top_logprobs": 3}, "logprobs"),
    ({"audio": {"voice": "x"}}, "audio"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
def test_refusals_name_the_field(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(**body)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"\xff", b'{"messages":'])
def test_invalid_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(parse_object(body), ChatRequest)
    assert caught.value.param is None


def test_base64_may_have_line_breaks() -> None:
    lines = base64.encodebytes(bytes(200)).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{lines}"}}
    document = {"type": "file", "file": {"file_data": lines.replace("\n", "\r\n"), "filename": "a.pdf"}}
    made = call(**content(image, document)).converse["messages"][0]["content"]
    sources: Any = [made[0]["image"]["source"], made[1]["document"]["source"]]
    assert [source["bytes"] for source in sources] == [base64.b64encode(bytes(200)).decode()] * 2


def test_document_format_comes_from_media_type_or_name() -> None:
    blocks = call(
        **content(
            {"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}},
            {"type": "file", "file": {"file_data": "AA==", "filename": "Report.PDF"}},
            {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,AA==", "filename": "a.docx"}},
        )
    ).converse["messages"][0]["content"]
    assert [(block["document"]["format"], block["document"]["name"]) for block in blocks] == [
        ("csv", "document"),
        ("pdf", "Report"),
        ("docx", "a"),
    ]


def test_tool_choices() -> None:
    def config(choice: Any, **more: Any) -> Any:
        return call(tools=[TOOL, {"type": "custom", "custom": {"name": "c"}}], tool_choice=choice, **more).converse[
            "toolConfig"
        ]

    assert config({"type": "custom", "custom": {"name": "c"}})["toolChoice"] == {"tool": {"name": "c"}}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    }
    assert config(allowed)["toolChoice"] == {"auto": {}}
    assert [tool["toolSpec"]["name"] for tool in config(allowed)["tools"]] == ["f"]
    assert "toolConfig" not in call(tool_choice="none").converse
    assert "toolConfig" not in call(tools=[], tool_choice="auto").converse


def test_empty_and_missing_contents_are_accepted() -> None:
    messages = [
        {"role": "system", "content": None},
        USER,
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": ""},
    ]
    converse = call(messages=messages).converse
    assert "system" not in converse
    assert [message["content"] for message in converse["messages"]] == [[{"text": "x"}], [{"text": "no"}], []]


def test_thinking_block_without_signature_is_sent_without_one() -> None:
    message = {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "thinking": "t"}]}
    content = call(messages=[USER, message]).converse["messages"][1]["content"]
    assert content[0] == {"reasoningContent": {"reasoningText": {"text": "t"}}}


def test_breakpoints_may_have_a_lifetime() -> None:
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    assert call(**content(part)).converse["messages"][0]["content"][1] == {
        "cachePoint": {"type": "default", "ttl": "1h"}
    }


def test_cache_control_sets_cache_points() -> None:
    """On parts, as OpenRouter sends it, and on messages and tools, as LiteLLM does."""
    short, long = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    point, longer = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
    tool = {"type": "function", "function": {"name": "f"}}
    made = call(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "rules", "cache_control": long}]},
            {"role": "user", "content": "a", "cache_control": {**short, "ttl": "5m"}},
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
                "cache_control": short,
            },
            {"role": "tool", "tool_call_id": "1", "content": "b", "cache_control": short},
            {
                "role": "user",
                "content": [{"type": "text", "text": "c", "cache_control": short, "prompt_cache_breakpoint": {}}],
            },
        ],
        tools=[{**tool, "cache_control": short}, {"type": "function", "function": {"name": "g"}}],
    )
    assert made.ignored == []
    assert made.converse["system"] == [{"text": "rules"}, longer]
    contents = [message["content"] for message in made.converse["messages"]]
    assert [[next(iter(block)) for block in content] for content in contents] == [
        ["text", "cachePoint"],
        ["toolUse", "cachePoint"],
        ["toolResult", "cachePoint"],
        ["text", "cachePoint"],
    ]
    assert {json.dumps(content[1]) for content in contents} == {json.dumps(point)}
    assert [next(iter(entry)) for entry in made.converse["toolConfig"]["tools"]] == [
        "toolSpec",
        "cachePoint",
        "toolSpec",
    ]
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}
    chosen = call(
        messages=[USER],
        tools=[{**tool, "cache_control": short}, {"type": "function", "function": {"name": "g"}}],
        tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
    )
    assert chosen.converse["toolConfig"]["tools"][1:] == [point]


def reply(*blocks: Any, stop: str = "end_turn", **more: Any) -> Any:
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": usage,
        "metrics": {"latencyMs": 1},
        **more,
    }


IMAGE = {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}
IN_S3 = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/key"}}}}


def test_images_become_parts() -> None:
    message = from_reply(reply(IMAGE, IN_S3), RESPONSE_CONTEXT)["choices"][0]["message"]
    assert [image["image_url"]["url"] for image in message["images"]] == [
        "data:image/jpeg;base64,/9j/",
        "s3://bucket/key",
    ]
    frames = joined(ChunkStream(RESPONSE_CONTEXT).from_event, unfold(reply(IMAGE, IN_S3))).decode()
    assert '"images":[{"index":0,"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/"}}]' in frames
    assert '"images":[{"index":1,' in frames


@pytest.mark.parametrize("stop", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_a_failure(stop: str) -> None:
    with pytest.raises(UpstreamFailed, match="malformed"):
        from_reply(reply(stop=stop), RESPONSE_CONTEXT)
    with pytest.raises(UpstreamFailed, match="malformed"):
        joined(ChunkStream(RESPONSE_CONTEXT).from_event, unfold(reply(stop=stop)))


def test_reasoning_without_text_is_returned() -> None:
    hidden = {"reasoningContent": {"reasoningText": {"signature": "s"}}}
    message = from_reply(reply(hidden, {"text": "a"}), RESPONSE_CONTEXT)["choices"][0]["message"]
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": "", "signature": "s"}]
    assert "reasoning_content" not in message


def test_unknown_stop_reasons_and_blocks_are_accepted() -> None:
    choice = from_reply(reply({"video": {}}, {"text": "a"}, stop="brand_new"), RESPONSE_CONTEXT)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "a")
    assert b'"content":"a"' in joined(
        ChunkStream(RESPONSE_CONTEXT).from_event, [{"brandNew": {}}, *unfold(reply({"text": "a"}))]
    )  # type: ignore[list-item]


@pytest.mark.parametrize("arguments", ['{"city":"Par', "[1]", "null", "1e400"])
def test_truncated_arguments_are_reported_and_sent_back_empty(arguments: str) -> None:
    made = call(**assistant(arguments))
    (block,) = made.converse["messages"][1]["content"]
    assert block == {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}
    assert made.ignored == ["messages[1].tool_calls[0].function.arguments"]


@pytest.mark.parametrize("arguments", [{"wrong": 1}, {"input": 5}, [1], "text"])
def test_custom_input_of_another_shape_is_returned_unchanged(arguments: Any) -> None:
    block = {"toolUse": {"toolUseId": "t", "name": "custom", "input": arguments}}
    (made,) = from_reply(reply(block, stop="tool_use"), RESPONSE_CONTEXT)["choices"][0]["message"]["tool_calls"]
    assert made["custom"]["input"] == json.dumps_text(arguments)


def test_truncated_custom_input_is_returned_unchanged() -> None:
    start: Any = {
        "contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "custom"}}}
    }
    piece: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"input": "hal'}}}}
    frames = joined(
        ChunkStream(RESPONSE_CONTEXT).from_event, [start, piece, {"contentBlockStop": {"contentBlockIndex": 0}}]
    ).decode()
    assert json.dumps_text('{"input": "hal') in frames


def test_empty_first_piece_of_a_call_sends_nothing() -> None:
    start: Any = {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}}
    piece: Any = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": ""}}}}
    translator = ChunkStream(RESPONSE_CONTEXT)
    assert b'"arguments":""' in joined(translator.from_event, [start])
    assert joined(translator.from_event, [piece]) == b""
    assert b'"arguments":"{}"' in joined(translator.from_event, [{"contentBlockStop": {"contentBlockIndex": 0}}])


def test_stream_error_has_openais_shape() -> None:
    frame = ChunkStream(RESPONSE_CONTEXT).fail(UpstreamFailed("words"))
    assert json.loads(frame.removeprefix(b"data: "))["error"] == {
        "message": "words",
        "type": "api_error",
        "param": None,
        "code": None,
    }


@given(st.lists(BLOCKS, max_size=5), st.data())
def test_frames_do_not_depend_on_batches(content: list[Any], data: st.DataObject) -> None:
    events = list(unfold(reply(*content)))
    frames = joined_in_batches(ChunkStream(RESPONSE_CONTEXT).from_event, events, data)
    assert frames == joined(ChunkStream(RESPONSE_CONTEXT).from_event, events)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "role",
                        "content",
                        "type",
                        "text",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "image_url",
                        "url",
                        "tools",
                        "messages",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_body_fails_other_than_by_refusal(noise: Any) -> None:
    for body in (
        noise,
        {"messages": noise},
        {"messages": [USER], "tools": noise},
        {"messages": [{"role": "user", "content": noise}]},
    ):
        with contextlib.suppress(InvalidRequest):
            assert to_call(validate(body, ChatRequest)).converse["messages"]


@pytest.mark.parametrize(
    ("said", "told"), [("tool_use", "tool_calls"), ("end_turn", "tool_calls"), ("max_tokens", "length")]
)
def test_turn_with_calls_stops_for_tools(said: str, told: str) -> None:
    assert finish_reason(said, has_calls=True) == told
    assert finish_reason(said, has_calls=False) == ("length" if told == "length" else "stop")


@pytest.mark.parametrize("has_calls", [True, False])
@pytest.mark.parametrize(("said", "told"), [("refusal", "content_filter"), ("pause_turn", "stop"), ("new", "stop")])
def test_stop_reasons_of_models_are_mapped(said: str, told: str, has_calls: bool) -> None:
    assert finish_reason(said, has_calls=has_calls) == told


@pytest.mark.parametrize(
    ("data", "called", "told"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/jpeg", "png"),
        (b"\xff\xd8\xff\xe0", "application/octet-stream", "jpeg"),
        (b"GIF89a", "image/png", "gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/png", "webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "image/png", "png"),
        (b"something", "image/gif", "gif"),
    ],
)
def test_image_format_is_detected_from_its_data(data: bytes, called: str, told: str) -> None:
    url = f"data:{called};base64,{base64.b64encode(data + bytes(20)).decode()}"
    block: Any = call(**content({"type": "image_url", "image_url": {"url": url}})).converse["messages"][0]["content"][0]
    assert block["image"]["format"] == told


def test_undetected_image_format_comes_from_the_media_type() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/webp;base64,A"}}
    block: Any = call(**content(image)).converse["messages"][0]["content"][0]
    assert block["image"]["format"] == "webp"


def test_unfinished_blocks_are_complete() -> None:
    call: Any = {"toolUseId": "t", "name": "f"}
    events: list[Any] = [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": call}}},
        {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {**call, "name": "g"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"input":"ls"}'}}}},
        {"messageStop": {"stopReason": "tool_use"}},
    ]
    stream = ChunkStream(ChatResponseContext("c", 1, "m", custom_tools=frozenset({"g"})))
    told = joined(stream.from_event, WellFormed().feed(events)).decode()
    for said in ('"signature":"s"', '"arguments":"{}"', '"input":"ls"'):
        assert told.count(said) == 1
        assert told.index(said) < told.index('"finish_reason":"tool_calls"')


def test_labels_that_aws_refuses_are_ignored_and_named() -> None:
    refused = call(metadata={"team": "x" * 257})
    assert "requestMetadata" not in refused.converse
    assert refused.ignored == ["metadata.team"]
