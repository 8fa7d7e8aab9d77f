"""Refusals, and rare cases of requests and responses that have no golden case."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.adaptation import adapt
from app.converse.fold import unfold
from app.converse.well_formed import WellFormed
from app.dialects.anthropic.citations import from_converse, to_converse
from app.dialects.anthropic.errors import render_error
from app.dialects.anthropic.request import to_call
from app.dialects.anthropic.response import from_reply
from app.dialects.anthropic.response_context import MessageResponseContext, stop_reason
from app.dialects.anthropic.schema_in import MessagesRequest
from app.dialects.anthropic.stream import EventStream
from app.dialects.http.documents import parse_object, validate
from app.models.capabilities import Capabilities
from app.models.families import FAMILIES
from app.wire import json
from tests.dialects.streams import joined, joined_in_batches

RESPONSE_CONTEXT = MessageResponseContext("msg_1", "m", "r")
USER = {"role": "user", "content": "hi"}
USAGE = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}


def request(**members: Any) -> dict[str, Any]:
    return {"max_tokens": 10, "messages": [USER], **members}


def content(block: Any) -> dict[str, Any]:
    return request(messages=[{"role": "user", "content": [block]}])


def call(body: Any) -> Any:
    return to_call(validate(body, MessagesRequest))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [USER]}, "max_tokens"),
        (request(max_tokens=0), "max_tokens"),
        (request(max_tokens="many"), "max_tokens"),
        (request(messages=[]), "messages"),
        (request(messages=[{"role": "wizard", "content": "x"}]), "messages[0].role"),
        (request(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
        (request(temperature=1.5), "temperature"),
        (request(thinking={"type": "enabled", "budget_tokens": 10}), "thinking.budget_tokens"),
        (request(mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}]), "mcp_servers"),
        (request(container={"skills": []}) | {"container": "c"}, "container"),
        (request(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "tools[0]"),
        (request(tools=[{"name": "x"}]), "tools[0]"),
        (request(tool_choice={"type": "any"}), "tool_choice"),
        (
            content({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}}),
            "messages[0].content[0].cache_control.ttl",
        ),
        (content({"type": "thinking", "thinking": "a", "signature": 5}), "messages[0].content[0].signature"),
        (content({"type": "thinking", "thinking": 5}), "messages[0].content[0].thinking"),
        (
            content({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "odd"}]}),
            "messages[0].content[0].content[0]",
        ),
        (
            request(tool_choice={"type": "tool", "name": "x"}, tools=[{"name": "y", "input_schema": {}}]),
            "tool_choice.name",
        ),
        (content({"type": "text"}), "messages[0].content[0].text"),
        (content({"type": "server_tool_use", "id": "a", "name": "b", "input": {}}), "messages[0].content[0]"),
        (
            content({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}),
            "messages[0].content[0].source",
        ),
        (content({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[0].content[0].source"),
        (
            content({"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "AA=="}}),
            "messages[0].content[0].source.media_type",
        ),
        (
            content({"type": "document", "source": {"type": "base64", "media_type": "a/b", "data": "AA=="}}),
            "messages[0].content[0].source.media_type",
        ),
        (content({"type": "document", "source": {"type": "url", "url": "https://x"}}), "messages[0].content[0].source"),
        (
            content(
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}],
                }
            ),
            "messages[0].content[0].content[0].source",
        ),
    ],
)
def test_refusals_name_the_field(body: Any, param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refusal:
        call(body)
    assert refusal.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"5", b'"x"'])
def test_invalid_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(errors.InvalidRequest):
        validate(parse_object(body), MessagesRequest)


@pytest.mark.parametrize(
    ("members", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, "high"),
        ({"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8192}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60000}}, "high"),
        ({"output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_effort_of_thinking_and_output_config(members: Any, effort: str | None) -> None:
    assert call(request(**members)).intent.effort == effort


def test_budget_reaches_models_that_take_a_number() -> None:
    made = call(request(max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 3000}))
    adapted = adapt(made, Capabilities().with_values({"reasoning": {"request": "budget"}}))
    assert adapted.body["additionalModelRequestFields"]["thinking"] == {"type": "enabled", "budget_tokens": 3000}


@pytest.mark.parametrize(
    ("capabilities", "fields", "ignored", "adjusted"),
    [
        (Capabilities().with_values({"sampling": {"top_k": "field"}}), {"top_k": 5}, [], []),
        (Capabilities().with_values({"sampling": {"top_k": "nested"}}), {"inferenceConfig": {"topK": 5}}, [], []),
        (Capabilities(), None, ["top_k"], []),
        (Capabilities().with_values({"sampling": {"top_k": "field", "accepted": False}}), None, [], ["top_k"]),
    ],
)
def test_top_k_in_the_field_of_each_model(
    capabilities: Capabilities, fields: Any, ignored: list[str], adjusted: list[str]
) -> None:
    adapted = adapt(call(request(top_k=5)), capabilities)
    assert (adapted.body.get("additionalModelRequestFields"), adapted.ignored, adapted.adjusted) == (
        fields,
        ignored,
        adjusted,
    )


def test_top_k_is_dropped_with_thinking() -> None:
    made = call(request(top_k=5, max_tokens=9000, thinking={"type": "adaptive"}))
    adapted = adapt(
        made, Capabilities().with_values({"sampling": {"top_k": "field"}, "reasoning": {"request": "adaptive"}})
    )
    assert "top_k" not in adapted.body["additionalModelRequestFields"]
    assert "top_k" in adapted.adjusted


@pytest.mark.parametrize(
    "location",
    [
        {"documentChar": {"documentIndex": 1, "start": 2, "end": 3}},
        {"documentPage": {"documentIndex": 0, "start": 2, "end": 3}},
        {"documentChunk": {"documentIndex": 0, "start": 2, "end": 3}},
        {"searchResultLocation": {"searchResultIndex": 0, "start": 2, "end": 3}},
    ],
)
def test_citations_are_translated_both_ways(location: Any) -> None:
    citation = {"title": "t", "source": "s", "sourceContent": [{"text": "c"}], "location": location}
    back = to_converse(from_converse(citation))
    if "searchResultLocation" not in location:
        del citation["source"]  # a citation of a document has no member for it
    assert back == citation


def test_citation_without_location_is_accepted() -> None:
    assert from_converse({})["type"] == "char_location"
    assert to_converse({"type": "unheard_of"}) == {}


def test_tool_reference_becomes_text() -> None:
    found = [{"type": "tool_reference", "tool_name": "w"}]
    made = call(content({"type": "tool_result", "tool_use_id": "a", "content": found}))
    (block,) = made.converse["messages"][0]["content"]
    assert block["toolResult"]["content"] == [{"text": "The tool w was found; it can be called."}]


def test_fields_without_a_counterpart_are_reported() -> None:
    cached = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "citations": [{"type": "y"}]}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [cached]}
    blocks: list[Any] = [
        found,
        {"type": "document", "source": {"type": "content", "content": [cached]}},
        {"type": "document", "source": {"type": "content", "content": "plain"}},
        {"type": "tool_result", "tool_use_id": "b", "content": [found]},
        {"type": "tool_result", "tool_use_id": "a", "content": [cached]},
    ]
    made = call(
        request(
            messages=[{"role": "user", "content": blocks}],
            system=[cached],
            thinking={"type": "disabled", "display": "omitted"},
            output_config={"effort": "low"},
        )
    )
    assert made.ignored == [
        "thinking.display",
        "output_config.effort",
        "system[0].citations",
        "messages[0].content[0].content[0].cache_control",
        "messages[0].content[0].content[0].citations",
        "messages[0].content[1].source.content[0].cache_control",
        "messages[0].content[1].source.content[0].citations",
        "messages[0].content[3].content[0].content[0].cache_control",
        "messages[0].content[3].content[0].content[0].citations",
        "messages[0].content[4].content[0].citations",
    ]
    assert made.converse["messages"][0]["content"][-2:] == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}},
        {"cachePoint": {"type": "default"}},
    ]


def test_cache_points_are_not_doubled() -> None:
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    made = call(content(block) | {"cache_control": {"type": "ephemeral"}})
    assert [next(iter(each)) for each in made.converse["messages"][0]["content"]] == ["text", "cachePoint"]
    search = {"type": "tool_search_tool_regex_20251119", "name": "s", "cache_control": {"type": "ephemeral"}}
    assert "toolConfig" not in call(request(tools=[search])).converse
    tools = [{"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral"}}, search]
    assert len(call(request(tools=tools)).converse["toolConfig"]["tools"]) == 2


def test_nulls_are_as_absent_fields() -> None:
    blocks: list[Any] = [
        {"type": "tool_result", "tool_use_id": "a", "content": None, "is_error": None},
        {"type": "search_result", "source": "s", "title": "t", "content": [], "citations": {"enabled": None}},
        {"type": "thinking", "thinking": "t", "signature": None},
    ]
    made = call(request(messages=[{"role": "user", "content": blocks}]))
    result, found, reasoning = made.converse["messages"][0]["content"]
    assert result == {"toolResult": {"toolUseId": "a", "content": []}}
    assert found["searchResult"]["citations"] == {"enabled": False}
    assert reasoning == {"reasoningContent": {"reasoningText": {"text": "t"}}}


def test_blocks_without_a_counterpart_are_left_out() -> None:
    unheard: Any = {"toolUse": {"toolUseId": "a", "name": "s", "input": {}, "type": "server_tool_use"}}
    received: Any = {"text": "x"}
    reply: Any = {
        "output": {"message": {"role": "assistant", "content": [unheard, {"video": {}}, received]}},
        "stopReason": "tool_use",
        "usage": USAGE,
    }
    assert from_reply(reply, RESPONSE_CONTEXT)["content"] == [{"type": "text", "text": "x"}]
    assert from_reply(reply, RESPONSE_CONTEXT)["stop_reason"] == "end_turn"
    events: Any = [
        {"contentBlockStart": {"start": unheard, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"unheard": 1}, "contentBlockIndex": 1}},
        {"contentBlockDelta": {"delta": {"reasoningContent": {}}, "contentBlockIndex": 2}},
        {"internalServerException": {}},
    ]
    assert joined(EventStream(RESPONSE_CONTEXT).from_event, events).count(b"event: ") == 1


def test_empty_contents_are_accepted() -> None:
    made = call(
        request(
            messages=[
                USER,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
            ],
            system="",
            tools=[],
        )
    )
    assert made.converse["messages"][2]["content"] == [{"toolResult": {"toolUseId": "a", "content": []}}]
    assert "system" not in made.converse
    assert "toolConfig" not in made.converse


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_a_failure(reason: str) -> None:
    reply: Any = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": reason, "usage": USAGE}
    with pytest.raises(errors.UpstreamFailed):
        from_reply(reply, RESPONSE_CONTEXT)
    with pytest.raises(errors.UpstreamFailed):
        joined(EventStream(RESPONSE_CONTEXT).from_event, unfold(reply))


def test_images_become_blocks() -> None:
    picture = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    stored = {"image": {"format": "gif", "source": {"s3Location": {"uri": "s3://b/k"}}}}
    reply: Any = {
        "output": {"message": {"role": "assistant", "content": [picture, stored]}},
        "stopReason": "end_turn",
        "usage": USAGE,
    }
    sources = [block["source"] for block in from_reply(reply, RESPONSE_CONTEXT)["content"]]
    assert sources == [
        {"type": "base64", "media_type": "image/png", "data": "AA=="},
        {"type": "url", "url": "s3://b/k"},
    ]
    streamed = joined(EventStream(RESPONSE_CONTEXT).from_event, unfold(reply)).decode()
    assert '"media_type":"image/png"' in streamed
    assert '"url":"s3://b/k"' in streamed


def test_stream_without_usage_ends() -> None:
    stream = EventStream(RESPONSE_CONTEXT)
    joined(stream.from_event, [{"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "end_turn"}}])
    assert stream.finish().decode().count("event: ") == 2
    assert stream.finish() == b""


def test_cache_lifetimes_and_tier_are_reported() -> None:
    details = [{"ttl": "1h", "inputTokens": 7}, {"ttl": "5m", "inputTokens": 3}]
    reply: Any = {
        "output": {"message": {"role": "assistant", "content": []}},
        "stopReason": "end_turn",
        "usage": {**USAGE, "cacheWriteInputTokens": 10, "cacheDetails": details},
        "serviceTier": {"type": "default"},
    }
    usage = from_reply(reply, RESPONSE_CONTEXT)["usage"]
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7}
    assert usage["service_tier"] == "standard"


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (errors.Overloaded("busy"), 529, "overloaded_error", "busy"),
        (
            errors.ContextTooLong("Input is too long."),
            400,
            "invalid_request_error",
            "prompt is too long: Input is too long.",
        ),
        (errors.ContextTooLong("Prompt is too long: 3"), 400, "invalid_request_error", "Prompt is too long: 3"),
        (errors.InvalidRequest("must be", param="a[1].b[0]"), 400, "invalid_request_error", "a.1.b.0: must be"),
        (errors.InvalidRequest("a[1]: must be", param="a[1]"), 400, "invalid_request_error", "a.1: must be"),
        (
            errors.UpstreamFailed(
                'The model returned the following errors: {"error":{"type":"overloaded_error","message":"Overloaded"}}'
            ),
            502,
            "overloaded_error",
            "Overloaded",
        ),
        (
            errors.ContextTooLong('The model returned the following errors: {"message":"Input is too long"}'),
            400,
            "invalid_request_error",
            "prompt is too long: Input is too long",
        ),
        (
            errors.InvalidRequest('The model returned the following errors: {"error":{"message":null}}'),
            400,
            "invalid_request_error",
            '{"error":{"message":null}}',
        ),
        (
            errors.InvalidRequest(
                'The model returned the following errors: {"type":"error","error":{"message":"thinking: no"}}'
            ),
            400,
            "invalid_request_error",
            "thinking: no",
        ),
        (errors.InvalidRequest("The model returned the following errors: oops"), 400, "invalid_request_error", "oops"),
        (errors.RateLimited("slow"), 429, "rate_limit_error", "slow"),
        (errors.UpstreamTimeout("late"), 504, "timeout_error", "late"),
        (errors.GatewayError("what"), 500, "api_error", "what"),
    ],
)
def test_errors_have_anthropics_types_and_messages(
    error: errors.GatewayError, status: int, kind: str, message: str
) -> None:
    whole = render_error(error, "req-1")
    assert whole.status == status
    assert ("request-id", "req-1") in whole.headers
    assert json.loads(whole.body) == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req-1",
    }


BLOCKS = st.one_of(
    st.builds(lambda text: {"text": text}, st.text(max_size=8)),
    st.builds(
        lambda name, value: {"toolUse": {"toolUseId": "t", "name": name, "input": {"a": value}}},
        st.sampled_from(["x", "y"]),
        st.text(max_size=4),
    ),
    st.builds(
        lambda text, signature: {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}},
        st.text(max_size=8),
        st.text("ab", min_size=1, max_size=4),
    ),
    st.just({"reasoningContent": {"redactedContent": "YQ=="}}),
)


@given(content=st.lists(BLOCKS, max_size=4), data=st.data())
def test_frames_do_not_depend_on_batches(content: list[Any], data: st.DataObject) -> None:
    reply: Any = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 1},
    }
    events = list(unfold(reply))
    at_once, in_batches = EventStream(RESPONSE_CONTEXT), EventStream(RESPONSE_CONTEXT)
    whole = joined(at_once.from_event, events) + at_once.finish()
    assert joined_in_batches(in_batches.from_event, events, data) + in_batches.finish() == whole


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(sorted(MessagesRequest.model_fields))


@given(noise=st.dictionaries(FIELDS, JSON, max_size=3))
def test_no_body_fails_other_than_by_refusal(noise: Any) -> None:
    try:
        made = call(request(**noise))
    except errors.GatewayError:
        return
    for row in FAMILIES[::4]:
        try:
            adapt(made, Capabilities().with_values(row.values))
        except errors.GatewayError:
            continue


def test_strict_tool_stays_strict() -> None:
    tool = {"name": "t", "input_schema": {}, "strict": True, "description": " "}
    (made,) = call(request(tools=[tool])).converse["toolConfig"]["tools"]
    assert made == {"toolSpec": {"name": "t", "inputSchema": {"json": {}}, "strict": True}}


def test_tool_search_is_left_out_and_reported() -> None:
    asked = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "tool_search_tool_bm25", "input": {"query": "q"}}
    found = {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {"tool_references": []}}
    use = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    said = {"role": "assistant", "content": [asked, found, use]}
    made = call(request(messages=[USER, said, {"role": "user", "content": [result]}]))
    assert [list(block) for block in made.converse["messages"][1]["content"]] == [["toolUse"]]
    assert made.ignored == ["messages[1].content[0]", "messages[1].content[1]"]
    for other in ({**asked, "name": "web_search"}, {**asked, "name": 5}, {**found, "type": "web_search_tool_result"}):
        with pytest.raises(errors.InvalidRequest, match="servers understand"):
            call(request(messages=[USER, {"role": "assistant", "content": [other]}]))


def test_image_of_the_model_is_left_out_and_reported() -> None:
    drawn = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    said = {"role": "assistant", "content": [{"type": "text", "text": "Here."}, drawn]}
    made = call(request(messages=[USER, said, {"role": "user", "content": [drawn]}]))
    assert [[next(iter(block)) for block in turn["content"]] for turn in made.converse["messages"]] == [
        ["text"],
        ["text"],
        ["image"],
    ]
    assert made.ignored == ["messages[1].content[1]"]


@pytest.mark.parametrize(
    ("said", "told"), [("tool_use", "tool_use"), ("end_turn", "tool_use"), ("max_tokens", "max_tokens")]
)
def test_turn_with_calls_stops_for_tools(said: str, told: str) -> None:
    assert stop_reason(said, has_calls=True) == told
    assert stop_reason(said, has_calls=False) == (told if told == "max_tokens" else "end_turn")


@pytest.mark.parametrize("has_calls", [True, False])
@pytest.mark.parametrize(("said", "told"), [("refusal", "refusal"), ("pause_turn", "pause_turn"), ("new", "end_turn")])
def test_stop_reasons_of_models_are_mapped(said: str, told: str, has_calls: bool) -> None:
    assert stop_reason(said, has_calls=has_calls) == told


def test_image_format_is_detected_from_its_data() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "iVBORw0KGgoAAAAA"}}
    block: Any = call(content(picture)).converse["messages"][0]["content"][0]
    assert block["image"]["format"] == "png"


def test_unfinished_blocks_are_closed() -> None:
    call_of_a_tool = {"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}}
    message = {"role": "assistant", "content": [{"text": "a"}, call_of_a_tool]}
    reply: Any = {"output": {"message": message}, "stopReason": "tool_use", "usage": {}}
    left_open = [event for event in unfold(reply) if "contentBlockStop" not in event]
    told, stream = [], EventStream(MessageResponseContext("msg_1", "m"))
    for line in joined(stream.from_event, WellFormed().feed(left_open)).decode().splitlines():
        if line.startswith("event: "):
            told.append(line.removeprefix("event: "))
    assert told.count("content_block_start") == told.count("content_block_stop") == 2
    assert told[-2:] == ["message_delta", "message_stop"]
