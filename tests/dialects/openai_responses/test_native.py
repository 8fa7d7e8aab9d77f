"""Bodies and answers in OpenAI's own words: what is changed, what is left alone, however a stream was split."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converse.call import NativeCall
from app.converse.usage import Usage
from app.dialects.openai_chat import native as chat
from app.dialects.openai_responses.native import (
    NativeFacts,
    NativeResponseStream,
    from_document,
    to_native,
    usage_of,
)
from app.dialects.openai_responses.seal import Seal
from app.errors import UpstreamFailed
from app.models.traits import Traits
from app.tailor.openai import tailor_chat, tailor_responses

SEAL = Seal(b"secret", "ada", "openai.gpt-5.5")
SKY: Any = {"type": "namespace", "name": "sky", "tools": [{"type": "function", "name": "look"}, {"type": "odd"}]}


def native(items: list[Any], **document: Any) -> tuple[dict[str, Any], dict[str, tuple[str, str]], list[str]]:
    return to_native(document, [(f"input[{place}]", item) for place, item in enumerate(items)], SEAL)


def test_what_is_not_ours_crosses_as_it_came() -> None:
    items: list[Any] = [
        {"role": "user", "content": "x"},
        {"type": "compaction", "encrypted_content": "whatever"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        "odd",
    ]
    body, namespaces, ignored = native(items, model="m", store=True, previous_response_id="r", novel={"a": 1.0})
    assert body == {"novel": {"a": 1.0}, "store": False, "input": items}
    assert (namespaces, ignored) == ({}, [])


def test_thoughts_are_opened_and_others_are_left_out() -> None:
    sealed = SEAL.close({"encryptedContent": "rsn_1"})  # type: ignore[typeddict-unknown-key]
    theirs = Seal(b"secret", "eve", "openai.gpt-5.5").close({"encryptedContent": "rsn_1"})  # type: ignore[typeddict-unknown-key]
    of_converse = SEAL.close({"reasoningText": {"text": "hm"}})
    items = [{"type": "reasoning", "encrypted_content": text} for text in (sealed, theirs, "rsn_raw", of_converse)]
    body, _, ignored = native(items)
    assert body["input"] == [{"type": "reasoning", "encrypted_content": "rsn_1"}]
    assert ignored == [f"input[{place}].encrypted_content" for place in (1, 2, 3)]


def test_namespaces_in_tools_choices_and_calls() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "namespace": "sky", "arguments": "{}"}
    choice = {
        "type": "allowed_tools",
        "tools": [{"type": "namespace", "name": "sky"}, {"type": "function", "name": "look", "namespace": "sky"}, 5],
    }
    body, namespaces, _ = native([call], tools=[SKY, 5, {"type": "custom", "name": "c"}], tool_choice=choice)
    assert namespaces == {"sky__look": ("sky", "look")}
    assert body["tools"] == [
        {"type": "function", "name": "sky__look"},
        {"type": "odd"},
        5,
        {"type": "custom", "name": "c"},
    ]
    assert body["tool_choice"]["tools"] == [{"type": "function", "name": "sky__look"}] * 2 + [5]
    assert (body["input"][0]["name"], "namespace" in body["input"][0]) == ("sky__look", False)
    one, _, _ = native([], tool_choice={"type": "function", "name": "look", "namespace": "sky"})
    assert one["tool_choice"] == {"type": "function", "name": "sky__look"}
    plain, _, _ = native([], tool_choice={"type": "function", "name": "f"}, tools="odd")
    assert (plain["tool_choice"], plain["tools"]) == ({"type": "function", "name": "f"}, "odd")


FACTS = NativeFacts("mine", {"tools": [SKY], "previous_response_id": "resp_0"}, SEAL, {"sky__look": ("sky", "look")})
ITEMS: list[Any] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "rsn_1"},
    {"type": "reasoning", "id": "rs_2", "summary": []},
    {"type": "function_call", "id": "fc_1", "call_id": "call_0", "name": "sky__look", "arguments": "{}"},
    {"type": "function_call", "id": "fc_2", "call_id": "call_abc", "name": "other", "arguments": "{}"},
    {"type": "message", "id": "msg_1", "content": []},
]
RESPONSE = {"object": "response", "id": "resp_1", "status": "completed", "model": "openai.gpt-5.5", "output": ITEMS}


def test_an_answer_as_its_caller_knows_it() -> None:
    answer = from_document(RESPONSE, FACTS)
    assert (answer["model"], answer["store"], answer["previous_response_id"]) == ("mine", True, "resp_0")
    assert answer["tools"] == [SKY]
    first, second, call, other, message = answer["output"]
    assert SEAL.open(first["encrypted_content"]) == {"encryptedContent": "rsn_1"}
    assert (second, message) == (ITEMS[1], ITEMS[4])
    assert (call["name"], call["namespace"], call["call_id"]) == ("look", "sky", "call_0_fc_1")
    assert (other["name"], other["call_id"], "namespace" in other) == ("other", "call_abc", False)


@pytest.mark.parametrize("document", [{}, {"object": "response"}, {**RESPONSE, "status": "failed", "error": None}])
def test_what_is_no_answer(document: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailed):
        from_document(document, FACTS)


DOCUMENTS: list[Any] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": []}},
    {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": ITEMS[2]},
    {"type": "response.function_call_arguments.done", "sequence_number": 2, "name": "sky__look", "arguments": "{}"},
    {"type": "response.novel", "sequence_number": 3, "name": "unknown"},
    {"type": "response.completed", "sequence_number": 4, "response": RESPONSE},
]


def streamed(*batches: list[Any]) -> bytes:
    stream = NativeResponseStream(FACTS)
    data = b"".join(stream.from_documents(batch) for batch in batches)
    return data + stream.last(stream.ended())


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_stream_is_the_same_however_its_documents_were_batched(first: int, second: int) -> None:
    low, high = sorted((first, second))
    whole = streamed(DOCUMENTS)
    # a seal is made anew each time, and is the same each time
    assert streamed(DOCUMENTS[:low], DOCUMENTS[low:high], DOCUMENTS[high:]) == whole
    assert whole.count(b"event: ") == 5
    assert b'"name":"look"' in whole
    assert b"sky__look" not in whole


def test_a_stream_that_ends_too_early_or_makes_no_sense() -> None:
    stream = NativeResponseStream(FACTS)
    stream.from_documents(DOCUMENTS[:2])
    with pytest.raises(UpstreamFailed):
        stream.ended()
    assert b'"sequence_number":2' in stream.fail(UpstreamFailed("broke"))
    with pytest.raises(TypeError):
        stream.from_documents([{"type": "a\nb", "sequence_number": 5}])


def test_tokens() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert usage_of({"response": {"usage": usage}}) == usage_of({"usage": usage}) == Usage(50, 9, 30, 20, 4)
    assert usage_of({"response": {"usage": None}}) is None
    chat_usage = {
        "prompt_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert chat.usage_of({"usage": chat_usage}) == Usage(50, 9, 30, 20, 4)
    assert chat.usage_of({"choices": []}) is None


def test_the_end_of_a_chat_stream_that_broke() -> None:
    assert b'"error"' in chat.NativeChunks("m", include_usage=False).fail(UpstreamFailed("broke"))


def test_what_the_surfaces_are_given() -> None:
    traits = Traits(encrypted_thoughts=True)
    document = {"tools": [{"type": "web_search"}, 5], "tool_choice": "auto", "include": ["a"], "user": None}
    draft = tailor_responses(NativeCall("m", document, keep_thoughts=True), "openai", traits)
    assert draft.body == {"include": ["a", "reasoning.encrypted_content"]}
    assert draft.ignored == ["tools[0]", "tools[1]"]
    on_mantle = tailor_responses(NativeCall("m", document), "mantle", traits)
    assert on_mantle.body == {name: value for name, value in document.items() if name != "user"}
    asked = {"include": ["reasoning.encrypted_content"]}
    assert tailor_responses(NativeCall("m", asked, keep_thoughts=True), "mantle", traits).body == asked
    assert tailor_responses(NativeCall("m", {}, keep_thoughts=True), "mantle", Traits()).body == {}
    streamed_chat = tailor_chat(NativeCall("m", {"stream": True, "stream_options": {"b": 1}}), "mantle", traits)
    assert streamed_chat.body["stream_options"] == {"b": 1, "include_usage": True}
    assert tailor_chat(NativeCall("m", {"stream": True}), "mantle", traits).body["stream_options"]["include_usage"]
