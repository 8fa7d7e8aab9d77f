"""Native bodies and responses: what is changed and what is not, however a stream was split."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adaptation.openai import adapt_chat, adapt_responses
from app.converse.call import NativeCall, Surface
from app.converse.openai_documents import usage_of_completion, usage_of_response
from app.converse.usage import Usage
from app.dialects.openai.chat import native as chat
from app.dialects.openai.responses.native import (
    NativeResponseContext,
    NativeResponseStream,
    from_document,
    to_native,
)
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.errors import InvalidRequest, UpstreamFailed
from app.models.capabilities import Capabilities, capabilities_of
from app.models.ids import parse_model_id
from tests.dialects.streams import joined

SIGNER = ReasoningSigner((b"secret",), "ada", "openai.gpt-5.5")
SKY: Any = {
    "type": "namespace",
    "name": "sky",
    "tools": [{"type": "function", "name": "look"}, {"type": "custom", "name": "draw"}],
}


def native(items: list[Any], **document: Any) -> tuple[dict[str, Any], dict[str, tuple[str, str]], list[str]]:
    body, namespaces, _, ignored = to_native(
        document, [(f"input[{index}]", item) for index, item in enumerate(items)], SIGNER
    )
    return body, namespaces, ignored


def test_other_fields_pass_unchanged() -> None:
    items: list[Any] = [
        {"role": "user", "content": "x"},
        {"type": "compaction", "encrypted_content": "whatever"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        "odd",
    ]
    body, namespaces, ignored = native(items, model="m", store=True, previous_response_id="r", novel={"a": 1.0})
    assert body == {"novel": {"a": 1.0}, "store": False, "input": items}
    assert (namespaces, ignored) == ({}, [])


def test_signed_reasoning_is_read_and_other_reasoning_left_out() -> None:
    signed = SIGNER.close({"encryptedContent": "rsn_1"})  # type: ignore[typeddict-unknown-key]
    theirs = ReasoningSigner((b"secret",), "eve", "openai.gpt-5.5").close({"encryptedContent": "rsn_1"})  # type: ignore[typeddict-unknown-key]
    of_converse = SIGNER.close({"reasoningText": {"text": "hm"}})
    items = [{"type": "reasoning", "encrypted_content": text} for text in (signed, theirs, "rsn_raw", of_converse)]
    plain = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    body, _, ignored = native([*items, {**plain, "encrypted_content": "foreign"}])
    assert body["input"] == [{"type": "reasoning", "encrypted_content": "rsn_1"}, plain]
    assert ignored == [f"input[{index}].encrypted_content" for index in (1, 2, 3, 4)]


def test_namespaces_are_flattened_in_tools_choices_and_calls() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "namespace": "sky", "arguments": "{}"}
    null = {"type": "function_call", "call_id": "d", "name": "f", "namespace": None, "caller": None, "arguments": "{}"}
    choice = {
        "type": "allowed_tools",
        "tools": [
            {"type": "namespace", "name": "sky"},
            {"type": "function", "name": "look", "namespace": "sky"},
            5,
            {"type": "namespace", "name": "sky"},
        ],
    }
    body, namespaces, _ = native([call, null], tools=[SKY, 5, {"type": "custom", "name": "c"}], tool_choice=choice)
    assert namespaces == {"sky__look": ("sky", "look"), "sky__draw": ("sky", "draw")}
    look, draw = {"type": "function", "name": "sky__look"}, {"type": "custom", "name": "sky__draw"}
    assert body["tools"] == [look, draw, 5, {"type": "custom", "name": "c"}]
    assert body["tool_choice"]["tools"] == [look, draw, look, 5]
    assert [(item["name"], "namespace" in item) for item in body["input"]] == [("sky__look", False), ("f", False)]
    assert "caller" not in body["input"][1]
    _, _, paths, _ = to_native({"tools": [SKY, {"type": "web_search"}]}, [], SIGNER)
    assert paths == ["tools[0].tools[0]", "tools[0].tools[1]", "tools[1]"]
    _, _, ignored = native([], tools=[{**SKY, "description": "All of the sky.", "icon": "x", "novel": None}])
    assert ignored == ["tools[0].description", "tools[0].icon"]
    # a name without a namespace means the tool of that name in any namespace
    for named in ({"name": "look"}, {"name": "look", "namespace": "sky"}):
        one, _, _ = native([], tools=[SKY], tool_choice={"type": "function", **named})
        assert one["tool_choice"] == look
    plain, _, _ = native([], tool_choice={"type": "function", "name": "f"}, tools="odd")
    assert (plain["tool_choice"], plain["tools"]) == ({"type": "function", "name": "f"}, "odd")
    lost, _, _ = native([], tool_choice={"type": "function", "name": "f", "namespace": "n"})
    assert lost["tool_choice"] == {"type": "function", "name": "n__f"}
    odd, _, _ = native([], tools=[SKY], tool_choice={"type": "function", "name": "look", "namespace": [1]})
    assert odd["tool_choice"] == {"type": "function", "name": "[1]__look"}


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([{"type": "namespace", "tools": []}], None, "tools[0]"),
        ([{"type": "namespace", "name": "n"}], None, "tools[0]"),
        ([{**SKY, "name": "n" * 257}], None, "tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}], None, "tools[0].tools[0]"),
        (
            [{"type": "namespace", "name": "n", "tools": [{"type": "namespace", "name": "m"}]}],
            None,
            "tools[0].tools[0]",
        ),
        (
            [
                {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b__c"}]},
                {"type": "namespace", "name": "a__b", "tools": [{"type": "function", "name": "c"}]},
            ],
            None,
            "tools[1].tools[0]",
        ),
        ([{"type": "function", "name": "sky__look"}, SKY], None, "tools[1].tools[0]"),
        (
            [SKY, {"type": "namespace", "name": "sea", "tools": [{"type": "function", "name": "look"}]}],
            {"type": "function", "name": "look"},
            "tool_choice",
        ),
    ],
)
def test_invalid_namespaces_are_refused(tools: Any, choice: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        native([], tools=tools, tool_choice=choice)
    assert caught.value.param == param


def test_truncated_call_is_not_sent_back() -> None:
    cut = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"ci', "status": "incomplete"}
    body, _, ignored = native([cut])
    assert (body["input"], ignored) == ([], ["input[0]"])
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    body, _, ignored = native([cut, output])
    assert (body["input"][0]["arguments"], ignored) == ("{}", ["input[0].arguments"])


RESPONSE_CONTEXT = NativeResponseContext(
    "mine", {"tools": [SKY], "previous_response_id": "resp_0"}, SIGNER, {"sky__look": ("sky", "look")}
)
ITEMS: list[Any] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "rsn_1"},
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {"type": "function_call", "id": "fc_1", "call_id": "call_0", "name": "sky__look", "arguments": "{}"},
    {"type": "function_call", "id": "fc_2", "call_id": "call_abc", "name": "other", "arguments": "{}"},
    {"type": "message", "id": "msg_1", "content": []},
]
RESPONSE = {
    "object": "response",
    "id": "resp_1",
    "created_at": 1,
    "completed_at": 2,
    "status": "completed",
    "model": "openai.gpt-5.5",
    "output": ITEMS,
}


def test_response_has_the_callers_names_and_fields() -> None:
    answer = from_document(RESPONSE, RESPONSE_CONTEXT)
    assert (answer["model"], answer["store"], answer["previous_response_id"]) == ("mine", True, "resp_0")
    assert answer["tools"] == [SKY]
    first, second, call, other, message = answer["output"]
    assert SIGNER.open(first["encrypted_content"]) == {"encryptedContent": "rsn_1"}
    assert (second, message) == (ITEMS[1], ITEMS[4])
    assert (call["name"], call["namespace"], call["call_id"]) == ("look", "sky", "call_0_fc_1")
    assert (other["name"], other["call_id"], "namespace" in other) == ("other", "call_abc", False)


def test_response_is_completed_where_bedrock_leaves_members_out() -> None:
    document = {
        "tools": [{"type": "function", "name": "f"}],
        "safety_identifier": "ada",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low"},
    }
    context = NativeResponseContext("mine", document, SIGNER)
    short = {
        **RESPONSE,
        "created_at": 1784324967.0,
        "completed_at": None,
        "top_p": 0.98,
        "temperature": None,
        "service_tier": "flex",
    }
    answer = from_document(short, context)
    assert answer["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}
    ]
    assert (answer["safety_identifier"], answer["prompt_cache_key"]) == ("ada", "k")
    assert (answer["temperature"], answer["top_p"], answer["service_tier"]) == (1.0, 0.98, "flex")
    assert answer["reasoning"] == {"effort": "low", "summary": None}
    assert type(answer["created_at"]) is int
    assert answer["completed_at"] >= answer["created_at"]
    assert from_document({**short, "status": "incomplete"}, context)["completed_at"] is None


LONG = "fc_" + "0" * 80


def test_repeated_call_ids_are_made_unique_by_item() -> None:
    for kind in ("function_call", "shell_call"):
        made = [
            RESPONSE_CONTEXT.item({"type": kind, "call_id": "call_0", "id": LONG + end})["call_id"]
            for end in ("1", "2")
        ]
        assert len(set(made)) == 2
        assert {len(call_id) for call_id in made} == {64}
    assert RESPONSE_CONTEXT.item({"type": "function_call", "call_id": "call_0"})["call_id"] == "call_0"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"object": "response"},
        {**RESPONSE, "status": "failed", "error": None},
        {**RESPONSE, "status": "failed", "error": "boom"},
        {**RESPONSE, "status": "in_progress"},
    ],
)
def test_documents_that_are_no_response_fail(document: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailed):
        from_document(document, RESPONSE_CONTEXT)


DOCUMENTS: list[Any] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": []}},
    {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": ITEMS[2]},
    {"type": "response.function_call_arguments.done", "sequence_number": 2, "name": "sky__look", "arguments": "{}"},
    {"type": "response.novel", "sequence_number": 3, "name": "unknown"},
    {"type": "response.completed", "sequence_number": 4, "response": RESPONSE},
]


def streamed(*batches: list[Any]) -> bytes:
    stream = NativeResponseStream(RESPONSE_CONTEXT)
    data = b"".join(joined(stream.from_event, batch) for batch in batches)
    return data + stream.last(stream.ended())


@given(st.integers(0, 5), st.integers(0, 5))
def test_stream_does_not_depend_on_batches(first: int, second: int) -> None:
    low, high = sorted((first, second))
    whole = streamed(DOCUMENTS)
    # signing is deterministic
    assert streamed(DOCUMENTS[:low], DOCUMENTS[low:high], DOCUMENTS[high:]) == whole
    assert whole.count(b"event: ") == 5
    assert b'"name":"look"' in whole
    assert b"sky__look" not in whole


def test_incomplete_or_malformed_stream_fails() -> None:
    stream = NativeResponseStream(RESPONSE_CONTEXT)
    joined(stream.from_event, DOCUMENTS[:2])
    with pytest.raises(UpstreamFailed):
        stream.ended()
    assert b'"sequence_number":2' in stream.fail(UpstreamFailed("broke"))
    with pytest.raises(TypeError):
        joined(stream.from_event, [{"type": "a\nb"}])
    for odd in ({**RESPONSE, "id": None}, {**RESPONSE, "status": "in_progress"}):
        stream = NativeResponseStream(RESPONSE_CONTEXT)
        joined(stream.from_event, [{"type": "response.completed", "response": odd}])
        with pytest.raises(UpstreamFailed):
            stream.ended()


def test_events_are_numbered_anew() -> None:
    odd = [{**document, "sequence_number": number} for document, number in zip(DOCUMENTS, (None, "x", 7), strict=False)]
    data = joined(NativeResponseStream(RESPONSE_CONTEXT).from_event, odd)
    assert [data.count(b'"sequence_number":%d' % number) for number in range(4)] == [1, 1, 1, 0]


def test_error_of_a_failed_model_is_passed_on() -> None:
    stream = NativeResponseStream(RESPONSE_CONTEXT)
    failed = {**RESPONSE, "status": "failed", "error": {"code": "invalid_prompt", "message": "no"}}
    joined(stream.from_event, [{"type": "response.failed", "response": failed}])
    with pytest.raises(UpstreamFailed, match="no") as caught:
        stream.ended()
    last = stream.fail(caught.value)
    assert b'"code":"invalid_prompt"' in last
    assert b'"store":false' in last


def test_usage_of_responses_and_events() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert (
        usage_of_response({"response": {"usage": usage}})
        == usage_of_response({"usage": usage})
        == Usage(50, 9, 30, 20, 4)
    )
    assert usage_of_response({"response": {"usage": None}}) is None
    chat_usage = {
        "prompt_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert usage_of_completion({"usage": chat_usage}) == Usage(50, 9, 30, 20, 4)
    assert usage_of_completion({"choices": []}) is None


@pytest.mark.parametrize("member", ["image_url", "file_url"])
def test_media_by_url_are_refused_where_the_surface_fetches_none(member: str) -> None:
    part = {"type": "input_image", member: "https://example.com/x.png"}
    for item, path in (
        ({"role": "user", "content": [{"type": "input_text", "text": "x"}, part]}, f"input[0].content[1].{member}"),
        ({"type": "function_call_output", "call_id": "a", "output": [part]}, f"input[0].output[0].{member}"),
    ):
        call = NativeCall("m", {"input": [item]})
        with pytest.raises(InvalidRequest, match="FETCH_MEDIA") as caught:
            adapt_responses(call, Surface.OPENAI, Capabilities())
        assert caught.value.param == path
        assert adapt_responses(call, Surface.MANTLE, Capabilities()).body["input"] == [item]
    s3 = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "s3://b/k"}]}]}
    assert adapt_responses(NativeCall("m", s3), Surface.OPENAI, Capabilities()).body["input"] == s3["input"]


@pytest.mark.parametrize("include_usage", [False, True])
def test_only_callers_that_requested_the_usage_get_it_in_chunks(include_usage: bool) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "usage": None}
    chunks = chat.NativeChunks("m", include_usage=include_usage)
    text = joined(chunks.from_event, [said, {"choices": [], "usage": {"prompt_tokens": 1}}])
    assert text.count(b"data:") == (2 if include_usage else 1)
    assert (b'"usage":null' in text) == include_usage


def test_chat_stream_without_a_finished_choice_fails() -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "x"}}]}
    chunks = chat.NativeChunks("m", include_usage=False)
    assert b'"x"' in joined(chunks.from_event, [chunk])
    with pytest.raises(UpstreamFailed):
        chunks.finish()
    done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert joined(chunks.from_event, [done, {"choices": [], "usage": {}}]).count(b"data: ") == 1
    assert b"[DONE]" in chunks.finish()
    # only a usage that the caller did not request is left out
    assert b"filtered" in joined(chunks.from_event, [{"choices": [], "prompt_filter_results": "filtered"}])


def test_failed_chat_stream_ends_with_the_error() -> None:
    assert b'"error"' in chat.NativeChunks("m", include_usage=False).fail(UpstreamFailed("broke"))


KINDS = (
    *("function", "custom", "mcp", "apply_patch", "tool_search", "computer"),
    *("web_search", "image_generation", "local_shell"),
)


@pytest.mark.parametrize(
    ("surface", "left_out"),
    [
        (Surface.OPENAI, ["web_search", "image_generation", "local_shell"]),
        (Surface.MANTLE, ["apply_patch", "computer", "image_generation", "local_shell"]),
    ],
)
def test_tools_are_sent_where_the_surface_accepts_them(surface: Any, left_out: list[str]) -> None:
    # litellm#38489 for the runtime, litellm#38227 for mantle: the types that their validation errors name
    tools = [{"type": kind, "name": kind} for kind in KINDS]
    adapted = adapt_responses(NativeCall("m", {"tools": tools}), surface, Capabilities())
    assert [tool["type"] for tool in adapted.body["tools"]] == [kind for kind in KINDS if kind not in left_out]
    assert adapted.ignored == [f"tools[{KINDS.index(kind)}]" for kind in left_out]


def test_a_tool_is_deferred_only_where_a_search_can_load_it() -> None:
    deferred = {"type": "function", "name": "f", "defer_loading": True}
    searched = adapt_responses(
        NativeCall("m", {"tools": [deferred, {"type": "tool_search"}]}), Surface.OPENAI, Capabilities()
    )
    assert (searched.body["tools"][0], searched.ignored) == (deferred, [])
    alone = adapt_responses(NativeCall("m", {"tools": [deferred]}), Surface.OPENAI, Capabilities())
    assert (alone.body["tools"], alone.ignored) == ([{"type": "function", "name": "f"}], ["tools[0].defer_loading"])


def test_values_that_mantle_refuses_are_replaced_and_named() -> None:
    # litellm 1.110.2, bedrock_mantle: tiers `auto` and `default`, summaries `auto`
    document = {"service_tier": "priority", "reasoning": {"effort": "low", "summary": "detailed"}}
    adapted = adapt_responses(NativeCall("m", document), Surface.MANTLE, Capabilities())
    assert adapted.body == {"reasoning": {"effort": "low", "summary": "auto"}}
    assert (adapted.ignored, adapted.adjusted) == (["service_tier"], ["reasoning_summary"])
    assert adapt_responses(NativeCall("m", document), Surface.OPENAI, Capabilities()).body == document


def test_efforts_and_lengths_that_a_model_refuses_are_replaced_and_named() -> None:
    astra = capabilities_of(parse_model_id("us.openai.gpt-6-astra"))
    document = {"reasoning": {"effort": "none", "summary": "auto"}, "max_output_tokens": 5}
    adapted = adapt_responses(NativeCall("m", document), Surface.OPENAI, astra)
    assert adapted.body == {"reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 16}
    assert adapted.adjusted == ["reasoning_effort", "max_tokens"]


@pytest.mark.parametrize(
    ("adapt", "name", "other"),
    [(adapt_responses, "max_output_tokens", "max_tokens"), (adapt_chat, "max_completion_tokens", "max_new_tokens")],
)
def test_no_spelling_of_a_length_passes_the_largest_one(adapt: Any, name: str, other: str) -> None:
    limited = Capabilities().with_values({"max_output": 100, "output": {"default_length": 90}})
    for length, sent in ((60000, 100), (60000.0, 100), (1e300, 100), (50, 50), (None, 90)):
        adapted = adapt(NativeCall("m", {name: length}), Surface.MANTLE, limited)
        assert adapted.body == {name: sent}
        assert type(adapted.body[name]) is int
        assert adapted.adjusted == (["max_tokens"] if length and sent == 100 else [])
    for length in ("60000", [60000], -1, 0, 0.5, float("inf"), True, {"a": 1}):
        with pytest.raises(InvalidRequest, match="must be an integer of at least 1") as refused:
            adapt(NativeCall("m", {name: length}), Surface.MANTLE, limited)
        assert refused.value.param == name
    document = {name: 5, other: 60000, "parameters": {"max_new_tokens": 60000}}
    adapted = adapt(NativeCall("m", document), Surface.MANTLE, limited)
    assert (adapted.body, adapted.ignored) == ({name: 5}, [other, "parameters.max_new_tokens"])


def test_tools_that_a_search_found_lose_their_namespaces() -> None:
    found = {"type": "tool_search_output", "call_id": "c", "tools": [SKY], "status": "completed"}
    body, namespaces, ignored = native([found])
    assert [tool["name"] for tool in body["input"][0]["tools"]] == ["sky__look", "sky__draw"]
    assert (namespaces["sky__look"], ignored) == (("sky", "look"), [])
    assert native([{**found, "tools": "odd"}])[0]["input"] == [{**found, "tools": "odd"}]


def test_bodies_of_each_surface() -> None:
    capabilities = Capabilities().with_values({"reasoning": {"encrypted": True}})
    document = {"tools": [{"type": "web_search"}, 5], "tool_choice": "auto", "include": ["a"], "user": None}
    adapted = adapt_responses(NativeCall("m", document, keep_reasoning=True), Surface.OPENAI, capabilities)
    assert adapted.body == {"include": ["a", "reasoning.encrypted_content"]}
    assert adapted.ignored == ["tools[0]", "tools[1]"]
    tools = [{"type": "function", "name": "f"}, {"type": "web_search"}]
    for choice, left, named in (
        ({"type": "web_search"}, None, ["tools[1]", "tool_choice"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": tools}, [tools[0]], ["tools[1]"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": tools[1:]}, None, ["tools[1]", "tool_choice"]),
        ("required", "required", ["tools[1]"]),
    ):
        adapted = adapt_responses(
            NativeCall("m", {"tools": tools, "tool_choice": choice}), Surface.OPENAI, capabilities
        )
        given = adapted.body.get("tool_choice")
        assert (given["tools"] if isinstance(given, dict) else given) == left
        assert adapted.ignored == named
    on_mantle = adapt_responses(NativeCall("m", document), Surface.MANTLE, capabilities)
    assert on_mantle.body == {"tools": [{"type": "web_search"}], "tool_choice": "auto", "include": ["a"]}
    assert on_mantle.ignored == ["tools[1]"]
    asked = {"include": ["reasoning.encrypted_content"]}
    assert adapt_responses(NativeCall("m", asked, keep_reasoning=True), Surface.MANTLE, capabilities).body == asked
    assert adapt_responses(NativeCall("m", {}, keep_reasoning=True), Surface.MANTLE, Capabilities()).body == {}
    assert adapt_chat(NativeCall("m", {"store": True}), Surface.MANTLE, capabilities).ignored == ["store"]
    streamed_chat = adapt_chat(
        NativeCall("m", {"stream": True, "stream_options": {"b": 1}}), Surface.MANTLE, capabilities
    )
    assert streamed_chat.body["stream_options"] == {"b": 1, "include_usage": True}
    assert adapt_chat(NativeCall("m", {"stream": True}), Surface.MANTLE, capabilities).body["stream_options"][
        "include_usage"
    ]


def test_a_default_length_is_requested_where_the_caller_names_none() -> None:
    capabilities = Capabilities().with_values({"output": {"default_length": 300}})
    assert adapt_responses(NativeCall("m", {}), Surface.MANTLE, capabilities).body["max_output_tokens"] == 300
    asked = {"max_output_tokens": 20}
    assert adapt_responses(NativeCall("m", asked), Surface.MANTLE, capabilities).body == asked
    chat = adapt_chat(NativeCall("m", {}), Surface.MANTLE, capabilities).body
    assert [length for name, length in chat.items() if name.startswith("max_")] == [300]
