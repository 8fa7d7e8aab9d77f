"""Requests, responses and streams of the Responses dialect: refusals, round trips, and the order of events."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_output_item import ImageGenerationCall
from pydantic import TypeAdapter

from app.converse.fold import unfold
from app.converse.well_formed import WellFormed
from app.dialects.http.documents import validate
from app.dialects.openai.responses.history import rewrite_items
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request import to_call
from app.dialects.openai.responses.response import from_reply
from app.dialects.openai.responses.response_context import ResponseContext
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import custom_names, namespaces
from app.errors import ContextTooLong, InvalidRequest, RateLimited, UpstreamFailed
from app.wire import json
from tests.dialects.streams import BLOCKS, TEXTS, joined, joined_in_batches

SIGNER = ReasoningSigner((b"secret",), "tests", "scripted.echo")
FUNCTION = {"type": "function", "name": "f"}
CUSTOM = {"type": "custom", "name": "patch", "description": "Free text"}
CLOCK: Any = {
    "type": "namespace",
    "name": "clock",
    "description": "Time",
    "tools": [{"type": "function", "name": "now"}, {"type": "custom", "name": "set"}],
}
REASONING: Any = {"reasoningText": {"text": "hm", "signature": "sig"}}
REDACTED: Any = {"redactedContent": "YWJj"}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def items(request: ResponseRequest) -> Any:
    if isinstance(request.input, str):
        return validate({"input": [{"role": "user", "content": request.input}]}, ResponseRequest).input
    return request.input


def call(**body: Any) -> Any:
    request = validate({"input": "x", **body}, ResponseRequest)
    return to_call(request, SIGNER, items(request))


def user(*parts: Any) -> Any:
    return {"input": [{"role": "user", "content": list(parts)}]}


def response_context(signer: ReasoningSigner | None = SIGNER, **body: Any) -> ResponseContext:
    request = validate({"input": "x", **body}, ResponseRequest)
    return ResponseContext("resp_1", 1, "m", request, body, signer, custom_names(request), namespaces(request))


def reply(*content: Any, stop: str = "end_turn") -> Any:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 9, "cacheReadInputTokens": 4},
    }


def events_of(data: bytes) -> list[Any]:
    frames = [frame.split(b"\ndata: ") for frame in data.strip().split(b"\n\n")]
    events = [json.loads(payload) for _, payload in frames]
    assert [name for name, _ in frames] == [b"event: " + event["type"].encode() for event in events]
    return events


def ended(stream: ResponseStream, events: list[Any]) -> list[Any]:
    told = joined(stream.from_event, events)
    return events_of(told + stream.last(stream.ended()))


REFUSED: list[tuple[Any, str]] = [
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"service_tier": "scale"}, "service_tier"),
    ({"service_tier": "gold"}, "service_tier"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
    ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    (user({"type": "input_image", "image_url": "https://example.com/a.png"}), "input[0].content[0].image_url"),
    (user({"type": "input_image", "file_id": "f"}), "input[0].content[0].image_url"),
    (user({"type": "input_file", "file_id": "f"}), "input[0].content[0].file_data"),
    (user({"type": "input_image"}), "input[0].content[0].image_url"),
    (user({"type": "input_file", "file_url": "https://example.com/a.pdf"}), "input[0].content[0].file_url"),
    (user({"type": "input_text", "text": 5}), "input[0].content[0].text"),
    (
        {
            "input": [
                {"role": "system", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]}
            ]
        },
        "input[0].content",
    ),
    ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "abc"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "output": "abc", "call_id": None}]}, "input[0].call_id"),
    ({"input": [{"type": "custom_tool_call_output", "call_id": "a", "output": 5}]}, "input[0].output"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]}},
        "tool_choice",
    ),
    ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice"),
    ({"tools": [FUNCTION, {"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
    ({"tools": [FUNCTION, FUNCTION]}, "tools[1]"),
    ({"tools": [CLOCK, {"type": "function", "name": "clock__now"}]}, "tools[1]"),
    ({"tools": [CLOCK, {**CLOCK, "name": "watch"}], "tool_choice": {"type": "function", "name": "now"}}, "tool_choice"),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": ["f"]}]}},
        "tool_choice.tools[0].name",
    ),
    ({"tools": [{"type": "namespace", "tools": [FUNCTION]}]}, "tools[0].name"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [CLOCK]}]}, "tools[0].tools[0]"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
    ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
]


@pytest.mark.parametrize(
    ("body", "param"), REFUSED, ids=[f"{param}-{index}" for index, (_, param) in enumerate(REFUSED)]
)
def test_refusals_name_the_field(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(**body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("tools", "words"),
    [({}, "it needs tools"), ({"tools": [{"type": "web_search"}]}, "none of the tools can be called on this model")],
)
def test_choice_of_a_tool_that_cannot_be_called_says_why(tools: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        call(**tools, tool_choice={"type": "web_search"})


def test_phase_of_an_earlier_message_is_reported_where_it_has_no_effect() -> None:
    said = {"role": "assistant", "phase": "commentary", "status": "completed", "content": "Let me look."}
    assert call(input=[said, {"role": "user", "content": "x"}]).ignored == ["input[0].phase"]


def test_developer_message_alone_is_accepted() -> None:
    made = call(input=[{"role": "developer", "content": "Say hello."}], truncation=None)
    assert (made.converse["system"], made.converse["messages"], made.ignored) == ([{"text": "Say hello."}], [], [])


def test_items_become_turns() -> None:
    made = call(
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_text", "text": ""},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "AA=="},
                ],
            },
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": SIGNER.close(REASONING)},
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "call_id": "a", "name": "now", "namespace": "clock", "arguments": ""},
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call", "call_id": "c", "name": "set", "namespace": "clock", "input": "12:01"},
            {"type": "function_call_output", "call_id": "a", "output": "12:00"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "ok"}]},
            {"role": "system", "content": "Later."},
            {"role": "user", "content": ""},
            {"type": "function_call_output", "call_id": "d", "output": "after nothing"},
        ],
        include=["reasoning.encrypted_content"],
    )
    assert made.converse == {
        "system": [{"text": "Be brief."}, {"text": "Be kind."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "look"},
                    {"image": {"format": "png", "source": {"bytes": "AA=="}}},
                    {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AA=="}}},
                ],
            },
            {"role": "assistant", "content": [{"reasoningContent": REASONING}]},
            {"role": "assistant", "content": [{"text": "no"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "clock__now", "input": {}}}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "b", "name": "patch", "input": {"input": "*** Begin"}}}],
            },
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "c", "name": "clock__set", "input": {"input": "12:01"}}}],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "a", "content": [{"text": "12:00"}]}},
                    {"toolResult": {"toolUseId": "b", "content": [{"text": "ok"}]}},
                ],
            },
            {"role": "system", "content": [{"text": "Later."}]},
            {"role": "user", "content": []},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "d", "content": [{"text": "after nothing"}]}}]},
        ],
    }
    assert made.ignored == ["input[].id"]


def test_parameters_become_inference_settings_and_intent() -> None:
    made = call(
        model="m",
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        service_tier="flex",
        reasoning={"effort": "high", "summary": "auto"},
        parallel_tool_calls=False,
        tool_choice="none",
        tools=[FUNCTION],
        text={"format": {"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object"}}},
        prompt_cache_key="k",
        client_metadata={"a": "b"},
        truncation="disabled",
    )
    assert made.model == "m"
    assert made.converse["inferenceConfig"] == {"maxTokens": 7, "temperature": 0.5, "topP": 0.9}
    assert made.converse["serviceTier"] == {"type": "flex"}
    definition = {"schema": '{"type":"object"}', "name": "n", "description": "d"}
    assert made.converse["outputConfig"]["textFormat"]["structure"] == {"jsonSchema": definition}
    assert (made.intent.effort, made.intent.forbid_tools, made.intent.single_tool_call) == ("high", True, True)
    assert sorted(made.ignored) == ["client_metadata", "prompt_cache_key"]
    assert call(text={"format": {"type": "json_object"}}).intent.json_object
    bare = call(text={"format": {"type": "json_schema", "name": "n", "schema": {}}})
    assert bare.converse["outputConfig"]["textFormat"]["structure"] == {"jsonSchema": {"schema": "{}", "name": "n"}}


def test_fields_without_effect_are_reported() -> None:
    made = call(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "x", "mood": "fine"}]},
            {"type": "reasoning", "encrypted_content": "gAAAA-of-someone-else"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "no signature"}], "content": None},
        ],
        tools=[
            {"type": "web_search"},
            FUNCTION,
            {"type": "namespace", "name": "n", "description": "d", "icon": "x", "tools": [{"type": "web_search"}]},
        ],
        metadata={"a": "é", "team": "blue"},
        truncation="auto",
        text={"verbosity": "low"},
        include=["message.output_text.logprobs"],
        user="u",
    )
    assert sorted(made.ignored) == [
        "include",
        "input[0].content[0].mood",
        "input[1].encrypted_content",
        "metadata.a",
        "text.verbosity",
        "tools[0]",
        "tools[2].description",
        "tools[2].icon",
        "tools[2].tools[0]",
        "truncation",
    ]
    assert made.converse["requestMetadata"] == {"user": "0bfe935e70c321c7ca3afc75ce0d0ca2", "team": "blue"}
    assert [tool["toolSpec"]["name"] for tool in made.converse["toolConfig"]["tools"]] == ["f"]
    assert "toolConfig" not in call(tools=[{"type": "web_search"}], tool_choice="auto").converse


ALL = ["f", "patch", "clock__now", "clock__set"]
CHOICES: list[tuple[Any, Any, list[str]]] = [
    (None, None, ALL),
    ("none", None, ALL),
    ("auto", {"auto": {}}, ALL),
    ("required", {"any": {}}, ALL),
    ({"type": "function", "name": "f"}, {"tool": {"name": "f"}}, ALL),
    ({"type": "custom", "name": "patch"}, {"tool": {"name": "patch"}}, ALL),
    ({"type": "function", "name": "now"}, {"tool": {"name": "clock__now"}}, ALL),
    ({"type": "function", "name": "now", "namespace": "clock"}, {"tool": {"name": "clock__now"}}, ALL),
    ({"type": "function", "name": "clock__now"}, {"tool": {"name": "clock__now"}}, ALL),
    (
        {"type": "allowed_tools", "tools": [{"type": "namespace", "name": "clock"}]},
        {"auto": {}},
        ["clock__now", "clock__set"],
    ),
    ({"type": "allowed_tools", "tools": [FUNCTION, {"type": "web_search"}]}, {"auto": {}}, ["f"]),
    ({"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]}, {"auto": {}}, ["f"]),
    ({"type": "allowed_tools", "mode": "required", "tools": [FUNCTION]}, {"any": {}}, ["f"]),
]


@pytest.mark.parametrize(("choice", "expected", "names"), CHOICES)
def test_tools_and_tool_choices(choice: Any, expected: Any, names: list[str]) -> None:
    config = call(tools=[{**FUNCTION, "strict": True}, CUSTOM, CLOCK], tool_choice=choice).converse["toolConfig"]
    assert config.get("toolChoice") == expected
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == names
    assert [tool["toolSpec"].get("strict", False) for tool in config["tools"]] == [name == "f" for name in names]


@pytest.mark.parametrize("reasoning", [REASONING, REDACTED])
def test_signed_reasoning_is_read_unchanged(reasoning: Any) -> None:
    assert SIGNER.open(SIGNER.close(reasoning)) == reasoning
    assert ReasoningSigner((b"secret",), "tests", "scripted.echo").open(SIGNER.close(reasoning)) == reasoning


@pytest.mark.parametrize(
    "other",
    [
        ReasoningSigner((b"other",), "tests", "scripted.echo"),
        ReasoningSigner((b"secret",), "x", "scripted.echo"),
        ReasoningSigner((b"secret",), "tests", "y"),
    ],
)
def test_reasoning_of_another_deployment_caller_or_model_is_not_read(other: ReasoningSigner) -> None:
    assert other.open(SIGNER.close(REASONING)) is None


@given(st.data())
def test_changed_signature_is_not_read(data: st.DataObject) -> None:
    signed = SIGNER.close(REASONING)
    index = data.draw(st.integers(0, len(signed) - 1))
    letter = data.draw(st.characters().filter(lambda each: each != signed[index]))
    opened = SIGNER.open(signed[:index] + letter + signed[index + 1 :])
    # the last bits of some base64 letters are not significant
    assert opened is None or opened == REASONING


@given(st.text())
def test_reading_any_text_raises_nothing(text: str) -> None:
    assert SIGNER.open(text) is None
    assert SIGNER.open(f"oc1.{text}") is None


CITED: Any = {
    "citationsContent": {
        "content": [{"text": "It rains."}],
        "citations": [
            {"title": "Rain", "location": {"web": {"url": "https://example.com", "domain": "example.com"}}},
            {"title": "Book", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}},
        ],
    }
}
TOOLS: Any = {"tools": [FUNCTION, CUSTOM, CLOCK]}
EVERYTHING: list[Any] = [
    {"reasoningContent": REASONING},
    {"reasoningContent": REDACTED},
    {"text": "Hello"},
    CITED,
    {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": [1, "é"]}}},
    {"toolUse": {"toolUseId": "b", "name": "patch", "input": {"input": "*** Begin"}}},
    {"toolUse": {"toolUseId": "c", "name": "clock__now", "input": {}}},
    {"toolUse": {"toolUseId": "e", "name": "clock__set", "input": {"input": "12:01"}}},
    {"toolUse": {"toolUseId": "d", "name": "web", "type": "server_tool_use", "input": {}}},
]
ITEMS: list[Any] = [
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": SIGNER.close(REASONING),
    },
    {"type": "reasoning", "summary": [], "encrypted_content": SIGNER.close(REDACTED)},
    {
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "HelloIt rains.",
                "logprobs": [],
                "annotations": [
                    {
                        "type": "url_citation",
                        "url": "https://example.com",
                        "title": "Rain",
                        "start_index": 5,
                        "end_index": 14,
                    }
                ],
            }
        ],
    },
    {"type": "function_call", "call_id": "a", "status": "completed", "name": "f", "arguments": '{"x":[1,"é"]}'},
    {"type": "custom_tool_call", "call_id": "b", "status": "completed", "name": "patch", "input": "*** Begin"},
    {
        "type": "function_call",
        "call_id": "c",
        "status": "completed",
        "name": "now",
        "namespace": "clock",
        "arguments": "{}",
    },
    {
        "type": "custom_tool_call",
        "call_id": "e",
        "status": "completed",
        "name": "set",
        "namespace": "clock",
        "input": "12:01",
    },
]


def without_ids(items: list[Any]) -> list[Any]:
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


def test_reply_becomes_a_response() -> None:
    response = from_reply(reply(*EVERYTHING), response_context(metadata={"a": "b"}, temperature=0.5, **TOOLS))
    assert without_ids(response["output"]) == ITEMS
    assert [item["id"].partition("_")[0] for item in response["output"]] == [
        "rs",
        "rs",
        "msg",
        "fc",
        "ctc",
        "fc",
        "ctc",
    ]
    assert response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    }
    assert (response["status"], response["store"], response["metadata"]) == ("completed", True, {"a": "b"})
    assert [tool for tool in response["tools"] if tool["type"] != "function"] == TOOLS["tools"][1:]
    Response.model_validate(response, strict=False)


def test_reasoning_is_signed_only_on_request() -> None:
    response = from_reply(reply({"reasoningContent": REASONING}), response_context(None))
    assert "encrypted_content" not in response["output"][0]


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        ("end_turn", "completed", None),
        ("tool_use", "completed", None),
        ("stop_sequence", "completed", None),
        ("max_tokens", "incomplete", {"reason": "max_output_tokens"}),
        ("model_context_window_exceeded", "incomplete", {"reason": "max_output_tokens"}),
        ("guardrail_intervened", "incomplete", {"reason": "content_filter"}),
        ("content_filtered", "incomplete", {"reason": "content_filter"}),
        ("refusal", "incomplete", {"reason": "content_filter"}),
        ("pause_turn", "completed", None),
    ],
)
def test_status_by_stop_reason(stop: str, status: str, reason: Any) -> None:
    whole = from_reply(reply({"text": "a"}, stop=stop), response_context())
    streamed = ended(ResponseStream(response_context()), list(unfold(reply({"text": "a"}, stop=stop))))[-1]
    assert (whole["status"], whole["incomplete_details"]) == (status, reason)
    assert streamed["type"] == f"response.{status}"
    assert (streamed["response"]["status"], streamed["response"]["incomplete_details"]) == (status, reason)
    for response in (whole, streamed["response"]):
        assert [item["status"] for item in response["output"]] == [status]


@pytest.mark.parametrize("stop", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_a_failure(stop: str) -> None:
    with pytest.raises(UpstreamFailed):
        from_reply(reply({"text": "a"}, stop=stop), response_context())
    stream = ResponseStream(response_context())
    told = events_of(joined(stream.from_event, list(unfold(reply({"text": "a"}, stop=stop)))))
    with pytest.raises(UpstreamFailed) as caught:
        stream.ended()
    (failed,) = events_of(stream.fail(caught.value))
    assert failed["sequence_number"] == len(told)
    # clients act on items that are done; malformed output is not
    assert failed["response"]["output"] == []
    assert "response.output_item.done" not in [event["type"] for event in told]


def test_stream_holds_the_response_in_the_order_that_clients_require() -> None:
    stream = ResponseStream(response_context(**TOOLS))
    told = ended(stream, list(unfold(reply(*EVERYTHING))))
    for number, event in enumerate(told):
        assert event["sequence_number"] == number
        EVENT.validate_python(event)
    assert without_ids(told[-1]["response"]["output"]) == ITEMS
    done = [event for event in told if event["type"] == "response.output_item.done"]
    assert [event["item"] for event in done] == told[-1]["response"]["output"]
    assert [event["output_index"] for event in done] == list(range(len(ITEMS)))
    order: dict[str, list[str]] = {}
    for event in told:
        item_id = event.get("item_id") or event.get("item", {}).get("id") or "response"
        order.setdefault(item_id, []).append(event["type"].removeprefix("response."))
    whole = ["output_item.added", "output_item.done"]
    text = ["content_part.added", *2 * ["output_text.delta"], "output_text.done", "content_part.done"]
    reasoning = [f"reasoning_summary_{end}" for end in ("part.added", "text.delta", "text.done", "part.done")]
    arguments = ["function_call_arguments.delta", "function_call_arguments.done"]
    custom = ["custom_tool_call_input.delta", "custom_tool_call_input.done"]
    inner = [reasoning, [], text, arguments, custom, arguments, custom]
    assert list(order.values()) == [
        ["created", "in_progress", "completed"],
        *([whole[0], *between, whole[1]] for between in inner),
    ]


def test_call_without_input_sends_an_empty_object() -> None:
    stream = ResponseStream(response_context())
    call = {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}
    events = [event for event in unfold(reply(call)) if "contentBlockDelta" not in event]
    told = events_of(joined(stream.from_event, events))
    pieces = [event["delta"] for event in told if event["type"] == "response.function_call_arguments.delta"]
    done = [event["arguments"] for event in told if event["type"] == "response.function_call_arguments.done"]
    assert (pieces, done) == (["{}"], ["{}"])


def test_failed_stream_ends_with_the_error_and_its_items() -> None:
    stream = ResponseStream(response_context())
    events = list(unfold(reply({"text": "a"}, {"text": "b"})))
    joined(stream.from_event, events[:3])
    for error, code in (
        (RateLimited("slow down"), "rate_limit_exceeded"),
        (ContextTooLong("too long"), "context_length_exceeded"),
        (UpstreamFailed("gone"), "server_error"),
    ):
        *_, failed = events_of(stream.fail(error))
        # Codex reads this code, which OpenAI's SDK does not list
        if code != "context_length_exceeded":
            EVENT.validate_python(failed)
        assert failed["type"] == "response.failed"
        assert (failed["response"]["status"], failed["response"]["store"]) == ("failed", False)
        assert failed["response"]["error"] == {"code": code, "message": error.message}
    with pytest.raises(UpstreamFailed):
        stream.ended()


def test_text_before_a_failure_is_in_the_failed_response() -> None:
    stream = ResponseStream(response_context())
    *before, _, _, _ = unfold(reply({"text": "a"}, {"text": "b"}))
    joined(stream.from_event, before)
    *_, done, failed = events_of(stream.fail(UpstreamFailed("gone")))
    assert done["type"] == "response.output_item.done"
    assert failed["response"]["output"] == [done["item"]]
    assert (done["item"]["status"], done["item"]["content"][0]["text"]) == ("incomplete", "ab")


def test_stream_without_usage_ends() -> None:
    events = [event for event in unfold(reply({"text": "a"})) if "metadata" not in event]
    last = ended(ResponseStream(response_context()), events)[-1]
    assert (last["type"], last["response"]["usage"]["total_tokens"]) == ("response.completed", 0)


def test_only_the_last_item_is_incomplete() -> None:
    use = {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}
    whole = from_reply(reply({"text": "a"}, use, stop="max_tokens"), response_context())
    streamed = ended(ResponseStream(response_context()), list(unfold(reply({"text": "a"}, use, stop="max_tokens"))))[-1]
    for response in (whole, streamed["response"]):
        assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    only_reasoning = from_reply(reply({"reasoningContent": REASONING}, stop="max_tokens"), response_context())
    assert "status" not in only_reasoning["output"][0]


def test_images_become_items() -> None:
    picture = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    whole = from_reply(reply({"text": "here"}, picture, stop="max_tokens"), response_context())
    translator = ResponseStream(response_context())
    events: list[Any] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "here"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"image": {"source": {"bytes": "aA=="}}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"image": {"source": {"bytes": "aQ=="}}}}},
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"messageStop": {"stopReason": "max_tokens"}},
    ]
    told = events_of(joined(translator.from_event, events))
    for response in (whole, translator.ended()):
        made = ImageGenerationCall.model_validate(response["output"][1], strict=True)
        assert (made.type, made.status, made.result) == ("image_generation_call", "completed", "aGk=")
        assert made.id.startswith("ig_")
    (added,) = [event for event in told if event["type"] == "response.output_item.added" and event["output_index"] == 1]
    assert (added["item"]["status"], added["item"]["result"]) == ("in_progress", None)
    conversation = rewrite_items([("input[0]", {"role": "user", "content": "a"}), ("input[1]", whole["output"][1])])
    assert (len(conversation.items), conversation.ignored) == (1, ["input[1]"])


def test_truncated_call_is_sent_back_only_if_answered() -> None:
    cut = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"city":"Par', "status": "incomplete"}
    go_on = {"role": "user", "content": "go on"}
    made = call(input=[go_on, cut, go_on])
    assert [message["role"] for message in made.converse["messages"]] == ["user", "user"]
    assert made.ignored == ["input[1]"]
    output = {"type": "function_call_output", "call_id": "a", "output": "x"}
    answered = call(input=[go_on, {**cut, "arguments": "{}"}, output])
    assert "toolUse" in answered.converse["messages"][1]["content"][0]
    for status in ("incomplete", "completed"):
        broken = call(input=[go_on, {**cut, "status": status}, output])
        assert broken.converse["messages"][1]["content"][0]["toolUse"]["input"] == {}
        assert broken.ignored == ["input[1].arguments"]


STOPPED_SHORT: Any = {"messageStop": {"stopReason": "max_tokens"}}


def test_items_keep_their_order_and_all_end() -> None:
    events: list[Any] = [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "first"}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "second"}}},
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]
    response = ended(ResponseStream(response_context()), events)[-1]["response"]
    assert [item["content"][0]["text"] for item in response["output"]] == ["first", "second"]
    stream = ResponseStream(response_context())
    joined(stream.from_event, events[2:3])
    assert joined(stream.from_event, events[:1])
    joined(stream.from_event, [{"contentBlockStop": {"contentBlockIndex": 0}}])
    unended = ended(ResponseStream(response_context()), WellFormed().feed([*events[:2], STOPPED_SHORT]))
    assert [item["status"] for item in unended[-1]["response"]["output"]] == ["completed", "incomplete"]
    *closing, failed = events_of(stream.fail(UpstreamFailed("gone")))
    assert closing[-1]["type"] == "response.output_item.done"
    assert [(item["content"][0]["text"], item["status"]) for item in failed["response"]["output"]] == [
        ("first", "incomplete")
    ]


def test_stored_items_do_not_shift_the_paths_of_sent_items() -> None:
    earlier = validate({"input": [{"type": "reasoning", "encrypted_content": "x"}]}, ResponseRequest)
    request = validate({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, ResponseRequest)
    with pytest.raises(InvalidRequest) as caught:
        to_call(request, SIGNER, items(request), items(earlier))
    assert caught.value.param == "input[0].content[0].file_data"
    request = validate({"input": "x"}, ResponseRequest)
    made = to_call(request, SIGNER, items(request), items(earlier))
    assert made.ignored == ["previous_response_id.encrypted_content"]


def test_signatures_may_arrive_in_pieces() -> None:
    stream = ResponseStream(response_context())
    deltas: list[Any] = [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"ofTomorrow": {}}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": ""}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"reasoningContent": {"text": "h"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"reasoningContent": {"text": "m"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"reasoningContent": {"signature": "si"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"reasoningContent": {"signature": "g"}}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 1}},
        {"metadata": {"metrics": {"latencyMs": 1}}},
    ]
    told = events_of(joined(stream.from_event, deltas))
    told += events_of(joined(stream.from_event, [{"messageStop": {"stopReason": "end_turn"}}]))
    assert SIGNER.open(told[-1]["item"]["encrypted_content"]) == REASONING
    assert {event["output_index"] for event in told} == {0}


@given(st.lists(BLOCKS, max_size=5), st.data())
def test_frames_do_not_depend_on_batches(content: list[Any], data: st.DataObject) -> None:
    events = list(unfold(reply(*content)))
    frames = joined_in_batches(ResponseStream(response_context()).from_event, events, data)
    fresh_ids = re.compile(rb'"(rs|msg|fc|ctc)_[0-9a-f]{24}"')
    whole = joined(ResponseStream(response_context()).from_event, events)
    assert fresh_ids.sub(b"id", frames) == fresh_ids.sub(b"id", whole)


WORDS = ["role", "content", "type", "text", "name", "arguments", "call_id", "output", "image_url", "tools"]
noise = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | TEXTS
    | st.sampled_from(["user", "message", "function_call", "reasoning"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(noise)
def test_no_body_fails_other_than_by_refusal(anything: Any) -> None:
    for body in ({"input": anything}, {"input": [anything]}, {"tools": anything}, {"tool_choice": anything}):
        with contextlib.suppress(InvalidRequest):
            assert call(**body).converse["messages"]


def test_deeply_nested_fields_are_returned() -> None:
    schema: Any = {"type": "object"}
    for _ in range(300):
        schema = {"properties": {"a": schema}}
    tools = [{"type": "function", "name": "f", "parameters": schema}]
    response = from_reply(reply({"text": "a"}), response_context(tools=tools))
    assert response["tools"] == [{**tools[0], "description": None, "strict": None}]


def test_members_of_earlier_answers_without_effect_are_named_once() -> None:
    part = {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}], "logprobs": [{"token": "a"}]}
    answer: Any = {"type": "message", "id": "m", "role": "assistant", "status": "incomplete", "content": [part]}
    made = call(input=[{"role": "user", "content": "x"}, answer, answer, {"role": "user", "content": "y"}])
    assert sorted(made.ignored) == ["input[].annotations", "input[].id", "input[].logprobs", "input[].status"]
    plain = {**answer, "status": "completed", "id": None, "content": [{**part, "annotations": [], "logprobs": []}]}
    assert call(input=[{"role": "user", "content": "x"}, plain, {"role": "user", "content": "y"}]).ignored == []


def test_a_schema_that_need_not_be_followed_is_followed_and_named() -> None:
    wanted = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": False}
    assert call(text={"format": wanted}).ignored == ["text.format.strict"]
    assert call(text={"format": {**wanted, "strict": True}}).ignored == []
