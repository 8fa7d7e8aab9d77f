"""Conversations with reasoning and tools over three turns, in each dialect, with the SDKs of the callers.

Every signature and every redacted block that Bedrock returned is sent back to it unchanged and in order.
"""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from app.bedrock.stream_decoding import EventDecoder, NativeDecoder
from app.converse.fold import fold
from app.wire import json
from tests.end_to_end.conftest import boto_client
from tests.end_to_end.recording import RecordedRequest, RecordingBedrock
from tests.servers import KEY, gateway, serving

MODELS = ("scripted.thinking-v1:0", "scripted.redacted-v1:0")
CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
QUESTIONS = ("What is the weather in Bern?", "And in Basel?", "And in Zürich, «morgen»?")


@pytest.fixture(scope="module")
def bedrock() -> RecordingBedrock:
    return RecordingBedrock()


@pytest.fixture(scope="module")
def url(bedrock: RecordingBedrock) -> Iterator[str]:
    with serving(bedrock) as upstream, gateway(upstream) as base:
        yield base


def reasoning_returned(request: RecordedRequest) -> list[str]:
    """Return the signatures of reasoning and the redacted blocks in a response of Bedrock."""
    operation = request.path.rpartition("/")[2]
    if operation == "converse":
        return proofs_in(json.loads(request.response)["output"]["message"]["content"])
    if operation == "converse-stream":
        return proofs_in(fold(EventDecoder().feed(request.response))["output"]["message"]["content"])
    if operation == "invoke":
        return proofs_in(json.loads(request.response)["content"])
    events = NativeDecoder(last="message_stop").feed(request.response)
    return [delta["signature"] for event in events if "signature" in (delta := event.document.get("delta", {}))]


def proofs_in(blocks: Any) -> list[str]:
    """Return the signatures and redacted content of blocks of Converse or of Anthropic."""
    found = []
    for block in blocks if isinstance(blocks, list) else ():
        match block:
            case {"reasoningContent": {"reasoningText": {"signature": proof}}}:
                found.append(proof)
            case {"reasoningContent": {"redactedContent": proof}}:
                found.append(proof)
            case {"type": "thinking", "signature": proof}:
                found.append(proof)
    return found


def chat(url: str, model: str, is_streamed: bool) -> None:
    function = {"name": "get_weather", "parameters": CITY}
    messages: list[Any] = []
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:

        def send() -> Any:
            tools: Any = [{"type": "function", "function": function}]
            if not is_streamed:
                answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
                return answer.choices[0].message
            with client.chat.completions.stream(model=model, messages=messages, tools=tools) as stream:
                return stream.get_final_completion().choices[0].message

        for question in QUESTIONS:
            messages.append({"role": "user", "content": question})
            while (message := send()).tool_calls:
                messages.append(history_message(message))
                messages += [
                    {"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls
                ]
            messages.append(history_message(message))


def history_message(message: Any) -> Any:
    """Return an assistant message for the history, without what the SDK's streaming helper adds to it."""
    kept = {name: value for name, value in message.model_dump(exclude_none=True).items() if name != "parsed"}
    for call in kept.get("tool_calls", ()):
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return kept


def responses(url: str, model: str, is_streamed: bool, *, is_stored: bool = False) -> None:
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": CITY, "strict": False}]
    items: list[Any] = []
    previous: Any = None
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:

        def send() -> Any:
            storage: Any = {"previous_response_id": previous} if is_stored else {"store": False}
            given: Any = {"model": model, "input": items, "tools": tools, **storage}
            if not is_stored:
                given["include"] = ["reasoning.encrypted_content"]
            if not is_streamed:
                return client.responses.create(**given)
            with client.responses.stream(**given) as stream:
                return stream.get_final_response()

        for question in QUESTIONS:
            items.append({"role": "user", "content": question})
            while True:
                answer = send()
                if is_stored:
                    items, previous = [], answer.id
                else:
                    items += [item.model_dump(exclude_none=True) for item in answer.output]
                calls = [item for item in answer.output if item.type == "function_call"]
                items += [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"} for call in calls]
                if not calls:
                    break


def stored_responses(url: str, model: str, is_streamed: bool) -> None:
    responses(url, model, is_streamed, is_stored=True)


def messages(url: str, model: str, is_streamed: bool) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": CITY}]
    history: list[Any] = []
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:

        def send() -> Any:
            given: Any = {"model": model, "max_tokens": 4000, "messages": history, "tools": tools}
            given["thinking"] = {"type": "enabled", "budget_tokens": 2000}
            if not is_streamed:
                return client.messages.create(**given)
            with client.messages.stream(**given) as stream:
                return stream.get_final_message()

        for question in QUESTIONS:
            history.append({"role": "user", "content": question})
            while True:
                answer = send()
                history.append({"role": "assistant", "content": answer.content})
                calls = [block for block in answer.content if block.type == "tool_use"]
                if not calls:
                    break
                results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
                history.append({"role": "user", "content": results})


def converse(url: str, model: str, is_streamed: bool) -> None:
    config: Any = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": CITY}}}]}
    history: list[Any] = []
    with boto_client(url) as client:

        def send() -> Any:
            given: Any = {"modelId": model, "messages": history, "toolConfig": config}
            if not is_streamed:
                return client.converse(**given)["output"]["message"]
            return message_of(client.converse_stream(**given)["stream"])

        for question in QUESTIONS:
            history.append({"role": "user", "content": [{"text": question}]})
            while True:
                message = send()
                history.append(message)
                calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
                if not calls:
                    break
                results = [
                    {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "rain"}]}} for call in calls
                ]
                history.append({"role": "user", "content": results})


def message_of(stream: Any) -> Any:
    """Build a message of boto3's events, in which blobs are bytes."""
    blocks: dict[int, Any] = {}
    for event in stream:
        match event:
            case {"contentBlockStart": {"start": {"toolUse": tool}, "contentBlockIndex": index}}:
                blocks[index] = {"toolUse": {**tool, "input": ""}}
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": index}}:
                blocks[index]["toolUse"]["input"] += piece
            case {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": index}}:
                blocks.setdefault(index, {"text": ""})["text"] += piece
            case {"contentBlockDelta": {"delta": {"reasoningContent": piece}, "contentBlockIndex": index}}:
                if "redactedContent" in piece:
                    blocks[index] = {"reasoningContent": piece}
                    continue
                reasoning = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {}}})
                text = reasoning["reasoningContent"]["reasoningText"]
                for name, value in piece.items():
                    text[name] = text.get(name, "") + value
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"].encode())
    return {"role": "assistant", "content": [blocks[index] for index in sorted(blocks)]}


Caller = Callable[[str, str, bool], None]
CONVERSATIONS: list[tuple[Caller, str]] = [
    *((caller, model) for caller in (chat, responses, stored_responses, messages, converse) for model in MODELS),
    (messages, CLAUDE),
]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["complete", "streamed"])
@pytest.mark.parametrize(
    ("caller", "model"), CONVERSATIONS, ids=[f"{caller.__name__}-{model}" for caller, model in CONVERSATIONS]
)
def test_reasoning_is_sent_back_unchanged_over_three_turns(
    bedrock: RecordingBedrock, url: str, caller: Caller, model: str, is_streamed: bool
) -> None:
    bedrock.requests.clear()
    caller(url, model, is_streamed)
    assert len(bedrock.requests) == 6
    returned: list[str] = []
    for request in bedrock.requests:
        sent = [proof for message in request.body["messages"] for proof in proofs_in(message["content"])]
        assert sent == returned
        returned += reasoning_returned(request)
    assert len(returned) >= 3
    assert len(set(returned)) >= 3
