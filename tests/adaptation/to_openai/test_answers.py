"""Answers of OpenAI's APIs as replies and events of Converse: a stream says what the complete answer does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adaptation.answers import BlockWriter
from app.adaptation.to_openai.chat_reply import ChunkEvents, from_completion
from app.adaptation.to_openai.responses_reply import ResponseEvents, from_response
from app.converse.events import Event
from app.converse.fold import fold, unfold
from app.converse.usage import Usage
from app.emulator.openai_api.chat_stream import gather_completion, to_chunks
from app.emulator.openai_api.responses_stream import to_responses
from app.errors import UpstreamFailed
from app.wire import json

TOOL = st.builds(
    lambda name: {"toolUse": {"toolUseId": "x", "name": name, "input": {"a": name}}}, st.sampled_from("fg")
)
TEXT = st.builds(lambda text: {"text": text}, st.text(min_size=1))
REASONING = st.just({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}})
USAGE = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 19, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 7}


def reply(*blocks: Any, stop_reason: str = "end_turn") -> Any:
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop_reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 0},
    }


async def events_of(document: Any) -> AsyncIterator[Event]:
    for event in unfold(document):
        yield event


def streamed(documents: list[Any], translator: Any) -> Any:
    events = [event for document in documents for event in translator.feed(document)]
    started = [next(iter(event)) for event in events]
    assert (started[0], started[-2:]) == ("messageStart", ["messageStop", "metadata"])
    is_open = None
    for event in events:
        index = next(iter(event.values())).get("contentBlockIndex")
        if "contentBlockStop" in event:
            assert index == is_open
            is_open = None
        elif index is not None:
            assert is_open in (None, index)
            is_open = index
    assert is_open is None
    return fold(events)


@given(st.lists(st.one_of(TEXT, TOOL, REASONING), max_size=5))
def test_events_of_responses_say_what_the_response_does(blocks: list[Any]) -> None:
    reason = "tool_use" if any("toolUse" in block for block in blocks) else "end_turn"

    async def documents() -> list[Any]:
        body = {"include": ["reasoning.encrypted_content"]}
        return [each async for each in to_responses(events_of(reply(*blocks, stop_reason=reason)), body)]

    made = asyncio.run(documents())
    whole = from_response(made[-1]["response"])
    assert streamed(made, ResponseEvents()) == whole
    assert whole["stopReason"] == reason
    assert whole["usage"] == USAGE
    kinds = [next(iter(block)) for block in whole["output"]["message"]["content"]]
    assert kinds == [next(iter(block)) for block in blocks]


@given(st.lists(TEXT, max_size=1), st.lists(TOOL, max_size=3))
def test_chunks_say_what_the_completion_does(texts: list[Any], tools: list[Any]) -> None:
    given_reply = reply(*texts, *tools, stop_reason="tool_use" if tools else "end_turn")

    async def chunks() -> list[Any]:
        body = {"stream": True, "stream_options": {"include_usage": True}}
        return [each async for each in to_chunks(events_of(given_reply), body)]

    async def again(made: list[Any]) -> AsyncIterator[Any]:
        for each in made:
            yield each

    made = asyncio.run(chunks())
    whole = from_completion(asyncio.run(gather_completion(again(made))))
    assert streamed(made, ChunkEvents()) == whole
    assert whole["usage"] == USAGE


def response(*output: Any, **members: Any) -> Any:
    return {"object": "response", "status": "completed", "output": list(output), **members}


def test_shown_and_encrypted_reasoning() -> None:
    shown = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": t} for t in ("a", "b")]}
    (block,) = from_response(response(shown))["output"]["message"]["content"]
    assert block == {"reasoningContent": {"reasoningText": {"text": "a\n\nb"}}}
    (block,) = from_response(response({**shown, "encrypted_content": "g"}))["output"]["message"]["content"]
    mark = block["reasoningContent"]["reasoningText"]["signature"]
    events = [
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "b"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**shown, "encrypted_content": "g"}},
        {"type": "response.completed", "response": response()},
    ]
    (folded,) = streamed(events, ResponseEvents())["output"]["message"]["content"]
    assert folded == {"reasoningContent": {"reasoningText": {"text": "a\n\nb", "signature": mark}}}


def test_a_message_begins_with_its_first_item_though_that_is_hidden() -> None:
    events = ResponseEvents()
    assert events.feed({"type": "response.created", "response": {}}) == []
    hidden = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}}
    assert events.feed(hidden) == [{"messageStart": {"role": "assistant"}}]
    chunk = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    assert ChunkEvents().feed(chunk) == [{"messageStart": {"role": "assistant"}}]


def test_a_refusal_is_text_that_was_filtered() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
    whole = from_response(response(refusal))
    assert (whole["output"]["message"]["content"], whole["stopReason"]) == ([{"text": "no"}], "content_filtered")
    events = [
        {"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": "no"},
        {"type": "response.completed", "response": response(refusal)},
    ]
    assert streamed(events, ResponseEvents()) == whole
    message = {"content": None, "refusal": "no"}
    completion = {"object": "chat.completion", "choices": [{"message": message, "finish_reason": "stop"}]}
    assert from_completion(completion)["stopReason"] == "content_filtered"
    chunks = ChunkEvents()
    chunks.feed({"choices": [{"index": 0, "delta": {"refusal": "no"}}]})
    (_, stop) = chunks.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert stop == {"messageStop": {"stopReason": "content_filtered"}}


@pytest.mark.parametrize(
    ("reason", "stop_reason"),
    [("max_output_tokens", "max_tokens"), ("content_filter", "content_filtered"), ("novel", "max_tokens")],
)
def test_incomplete_responses(reason: str, stop_reason: str) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"a', "status": "incomplete"}
    cut = response(call, status="incomplete", incomplete_details={"reason": reason})
    whole = from_response(cut)
    # a call that the model did not finish cannot be run
    assert (whole["output"]["message"]["content"], whole["stopReason"]) == ([], stop_reason)


def test_items_without_deltas_are_written_when_they_end() -> None:
    message = {
        "type": "message",
        "content": [{"type": "output_text", "text": "x"}, {"type": "output_text", "text": "y"}],
    }
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_0", "name": "f", "arguments": '{"a":1}'}
    events = [
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.completed", "response": response(message, call)},
    ]
    folded = streamed(events, ResponseEvents())
    texts = "".join(block.get("text", "") for block in folded["output"]["message"]["content"])
    assert texts == "xy"
    assert folded["output"]["message"]["content"][-1] == {
        "toolUse": {"toolUseId": "call_0_fc_1", "name": "f", "input": {"a": 1}}
    }


def test_interleaved_calls_keep_their_arguments() -> None:
    calls = [
        {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": "f", "arguments": f'{{"city":"{name}"}}'}
        for name in ("a", "b", "c")
    ]

    def event(kind: str, index: int, **members: Any) -> Any:
        return {"type": f"response.{kind}", "output_index": index, **members}

    rounds: list[Any] = [
        [event("output_item.added", index, item={**call, "arguments": ""}) for index, call in enumerate(calls)],
        *(
            [
                event("function_call_arguments.delta", index, delta=call["arguments"][part])
                for index, call in enumerate(calls)
            ]
            for part in (slice(6), slice(6, None))
        ),
    ]
    completed = {"type": "response.completed", "response": response(*calls)}
    # the last call never ends
    done = [event("output_item.done", index, item=calls[index]) for index in (1, 0)]
    for ends in (done, done[::-1], []):
        streams = [*(each for part in rounds for each in part), *ends, completed]
        assert streamed(streams, ResponseEvents()) == from_response(response(*calls))


def test_a_finished_call_whose_arguments_are_no_json_fails_in_a_stream_too() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"city":'}
    with pytest.raises(json.JsonError):
        from_response(response(call))
    events = ResponseEvents()
    events.feed({"type": "response.output_item.added", "output_index": 0, "item": {**call, "arguments": ""}})
    events.feed({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"city":'})
    done = {"type": "response.output_item.done", "output_index": 0, "item": call}
    with pytest.raises(json.JsonError):
        events.feed(done)
    assert events.feed({**done, "item": {**call, "status": "incomplete"}})


def test_items_that_only_the_end_of_a_stream_has_are_written() -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}
    call = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"a":1}'}
    whole = from_response(response(message, call))
    completed = {"type": "response.completed", "response": response(message, call)}
    text = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": message}
    for events in ([completed], [text, completed], [text, done, completed], [done, completed]):
        assert streamed(events, ResponseEvents()) == whole


def test_reasoning_tokens_and_the_tier_are_kept() -> None:
    usage = {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}}
    whole = from_response(response(usage=usage, service_tier="flex"))
    assert whole["serviceTier"] == {"type": "flex"}
    assert Usage.of(whole["usage"], whole["additionalModelResponseFields"]).reasoning == 3  # type: ignore[arg-type]
    folded = streamed(
        [{"type": "response.completed", "response": response(usage=usage, service_tier="flex")}], ResponseEvents()
    )
    assert folded == whole


def test_reasoning_of_chat_completions_is_shown() -> None:
    for name in ("reasoning", "reasoning_content"):
        message = {"content": "x", name: "hm"}
        completion = {"object": "chat.completion", "choices": [{"message": message, "finish_reason": "length"}]}
        whole = from_completion(completion)
        assert whole["stopReason"] == "max_tokens"
        assert whole["output"]["message"]["content"][0] == {"reasoningContent": {"reasoningText": {"text": "hm"}}}


@pytest.mark.parametrize("document", [{}, {"object": "response", "status": "queued", "output": []}])
def test_what_is_no_answer_is_a_failure(document: Any) -> None:
    with pytest.raises(UpstreamFailed):
        from_response(document)
    with pytest.raises(UpstreamFailed):
        from_completion(document)


def test_a_cut_off_call_of_a_completion_is_left_out() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": '{"a'}}
    choice = {"message": {"content": "x", "tool_calls": [call]}, "finish_reason": "length"}
    completion: Any = {"object": "chat.completion", "choices": [choice]}
    assert from_completion(completion)["output"]["message"]["content"] == [{"text": "x"}]
    choice["finish_reason"] = "tool_calls"
    with pytest.raises(json.JsonError):
        from_completion(completion)


def test_items_and_parts_without_content_are_left_out() -> None:
    parts = [{"type": "novel"}, {"type": "output_text", "text": ""}, {"type": "output_text", "text": "hi"}]
    items = [{"type": "reasoning", "id": "r", "summary": []}, {"type": "novel"}, {"type": "message", "content": parts}]
    assert from_response(response(*items))["output"]["message"]["content"] == [{"text": "hi"}]


def test_blocks_without_deltas_are_written_as_a_whole() -> None:
    call: Any = {"toolUse": {"toolUseId": "a", "name": "t", "input": {"b": 1}}}
    start, delta = [event for event in BlockWriter().whole(call) if "messageStart" not in event]
    assert start["contentBlockStart"]["start"] == {"toolUse": {"toolUseId": "a", "name": "t"}}
    assert delta["contentBlockDelta"]["delta"] == {"toolUse": {"input": '{"b":1}'}}
    shown: Any = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    *_, event = BlockWriter().whole(shown)
    assert event == {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "hm"}}, "contentBlockIndex": 0}}
    assert list(BlockWriter().whole({"novel": 1})) == []
