"""Models that Bedrock serves in OpenAI's own words, at the runtime and on mantle: the SDK over sockets, every byte seen."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from app.emulator.openai_api.encrypted_reasoning import encrypt
from app.wire import json
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, gateway, http_reply, read_request, serving, upstream

HEADERS = {"x-api-key": KEY}
OSS, GPT55, GPT56, GEMMA = "openai.gpt-oss-120b-1:0", "openai.gpt-5.5", "openai.gpt-5.6-sol", "google.gemma-4-31b"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture(scope="module")
def seen() -> RecordingBedrock:
    return RecordingBedrock()


@pytest.fixture(scope="module")
def url(seen: RecordingBedrock) -> Iterator[str]:
    with serving(seen) as bedrock, gateway(bedrock, retry_budget=10) as base:
        yield base


@pytest.fixture
def client(url: str, seen: RecordingBedrock) -> Iterator[openai.OpenAI]:
    seen.requests.clear()
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.mark.parametrize(
    ("model", "service", "path", "called"),
    [
        (OSS, "bedrock-mantle", "/v1/responses", "openai.gpt-oss-120b"),
        (GPT55, "bedrock-mantle", "/openai/v1/responses", GPT55),
        (GEMMA, "bedrock-mantle", "/openai/v1/responses", GEMMA),
        (f"us.{GPT56}", "bedrock", "/openai/v1/responses", f"us.{GPT56}"),
    ],
)
def test_each_model_is_asked_where_it_is_served(
    client: openai.OpenAI, seen: RecordingBedrock, model: str, service: str, path: str, called: str
) -> None:
    answer = client.responses.create(model=model, input="hi", metadata={"a": "b"}, extra_body={"novel": [1.0]})
    assert (answer.model, answer.output_text, answer.status, answer.store) == (model, "hi", "completed", True)
    (asked,) = seen.requests
    body = asked.body
    assert (asked.service, asked.path, body["model"]) == (service, path, called)
    # what nobody here knows crosses; where the answer is kept is this gateway's business
    assert (body["novel"], body["metadata"], body["store"]) == ([1.0], {"a": "b"}, False)
    with client.responses.stream(model=model, input="hi") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert (kinds[0], kinds[-1], final.output_text, final.model) == (
        "response.created",
        "response.completed",
        "hi",
        model,
    )
    assert [event.sequence_number for event in client.responses.create(model=model, input="hi", stream=True)] == list(
        range(len(kinds))
    )


def test_a_base_id_is_asked_by_its_profile_and_the_choice_is_reported(url: str, seen: RecordingBedrock) -> None:
    seen.requests.clear()
    for _ in range(2):
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT56, "input": "hi"}, headers=HEADERS)
        assert (answer.status_code, answer.headers["x-outcrop-adjusted"]) == (200, "inference_profile")
        assert answer.json()["model"] == GPT56
    assert [each.body["model"] for each in seen.requests if each.path.endswith("/responses")] == [
        GPT56,
        f"us.{GPT56}",
        f"us.{GPT56}",
    ]


def test_a_loop_of_calls_with_reasoning_that_come_back_byte_equal(
    client: openai.OpenAI, seen: RecordingBedrock
) -> None:
    model = f"us.{GPT56}"
    history: list[Any] = [{"role": "user", "content": "What is the weather in Bern?"}]
    ids = []
    for turn in range(3):
        answer = client.responses.create(
            model=model,
            input=history,
            tools=[WEATHER],
            reasoning={"effort": "high"},
            include=["reasoning.encrypted_content"],
            store=False,
        )
        reasoning = [item for item in answer.output if item.type == "reasoning"]
        history += [item.model_dump(exclude_none=True) for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        if turn == 0:
            assert len(reasoning) == 1
            signed: Any = reasoning[0].encrypted_content
        assert bool(calls) == (turn != 1)
        for call in calls:
            ids.append(call.call_id)
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": f"rain {turn}"})
        if not calls:
            history.append({"role": "user", "content": "And tomorrow?"})
    assert len(set(ids)) == len(ids) == 2
    assert all(call_id.startswith("call_0_") for call_id in ids)
    sent = [item["encrypted_content"] for item in seen.requests[-1].body["input"] if item.get("type") == "reasoning"]
    assert sent[0].startswith("rsn_")
    assert signed.startswith("oc1.")
    # what reached Bedrock is what Bedrock gave out, and the embedded one checked that it is unchanged
    assert sent[0] == encrypt(json.loads(_inside(sent[0])))


def _inside(encrypted: str) -> bytes:
    from base64 import b64decode

    return b64decode(encrypted.partition(".")[2])


def test_a_reasoning_that_was_sealed_for_somebody_else_goes_nowhere(url: str, seen: RecordingBedrock) -> None:
    seen.requests.clear()
    ask = {"model": GPT55, "input": "x", "reasoning": {"effort": "low"}, "store": False}
    first = httpx.post(
        f"{url}/v1/responses", json={**ask, "include": ["reasoning.encrypted_content"]}, headers=HEADERS
    ).json()
    reasoning = first["output"][0]
    for model, item in (
        (f"us.{GPT56}", reasoning),
        (GPT55, {**reasoning, "encrypted_content": "rsn_abc.e30="}),
        ("scripted.echo-v1:0", reasoning),
    ):
        body = {"model": model, "input": [item, {"role": "user", "content": "y"}], "store": False}
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
        assert answer.status_code == 200
        assert answer.headers["x-outcrop-ignored"] == "input[0].encrypted_content"
    assert all("rsn_" not in str(body) for body in [each.body for each in seen.requests[1:]])


def test_a_conversation_goes_on_from_an_answer_that_is_kept_here(client: openai.OpenAI, seen: RecordingBedrock) -> None:
    first = client.responses.create(model=GPT55, input="My name is Ada.", reasoning={"effort": "low"})
    second = client.responses.create(model=GPT55, input="And?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    body = seen.requests[-1].body
    assert "previous_response_id" not in body
    assert [item.get("role") or item["type"] for item in body["input"]] == ["user", "reasoning", "assistant", "user"]
    assert body["input"][1]["encrypted_content"].startswith("rsn_")
    assert client.responses.retrieve(second.id).output_text == second.output_text
    assert client.responses.delete(second.id) is None
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=GPT55, input="x", background=True)


def test_namespaces_are_flat_for_bedrock_and_restored_for_the_caller(
    client: openai.OpenAI, seen: RecordingBedrock
) -> None:
    tools: Any = [{"type": "namespace", "name": "sky", "tools": [WEATHER]}, {"type": "web_search"}]
    answer = client.responses.with_raw_response.create(model=f"us.{GPT56}", input="weather?", tools=tools)
    assert answer.headers["x-outcrop-ignored"] == "tools[1]"
    (call,) = [item for item in answer.parse().output if item.type == "function_call"]
    assert (call.name, call.model_dump()["namespace"]) == ("get_weather", "sky")
    assert [tool["name"] for tool in seen.requests[-1].body["tools"]] == ["sky__get_weather"]
    history: Any = [
        {"role": "user", "content": "weather?"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    events = list(client.responses.create(model=f"us.{GPT56}", input=history, tools=tools, stream=True))
    assert events[-1].type == "response.completed"
    assert seen.requests[-1].body["input"][1]["name"] == "sky__get_weather"
    choice: Any = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "sky"}]}
    client.responses.create(model=GPT55, input="x", tools=tools, tool_choice=choice)
    sent = seen.requests[-1].body
    assert sent["tool_choice"]["tools"] == [{"type": "function", "name": "sky__get_weather"}]
    # on mantle tools of its own servers run
    assert [tool["type"] for tool in sent["tools"]] == ["function", "web_search"]


def test_chat_completions_where_only_mantle_serves_the_model(client: openai.OpenAI, seen: RecordingBedrock) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    chat = client.chat.completions.create(model=GEMMA, messages=messages)
    assert (chat.model, chat.choices[0].message.content, chat.choices[0].finish_reason) == (GEMMA, "hi", "stop")
    assert chat.usage is not None
    assert (seen.requests[-1].service, seen.requests[-1].path) == ("bedrock-mantle", "/openai/v1/chat/completions")
    chunks = list(client.chat.completions.create(model=GEMMA, messages=messages, stream=True))
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == "hi"
    assert all(each.usage is None for each in chunks)
    counted = list(
        client.chat.completions.create(
            model=GEMMA, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    assert counted[-1].usage is not None
    assert counted[-1].model == GEMMA
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER["parameters"]}}]
    with client.chat.completions.stream(model=GEMMA, messages=messages, tools=tools) as stream:
        (made,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert made.function.name == "get_weather"


def test_chat_completions_of_gpt_oss_go_by_converse_which_keeps_reasoning_apart(
    client: openai.OpenAI, seen: RecordingBedrock
) -> None:
    chat = client.chat.completions.create(model=OSS, messages=[{"role": "user", "content": "hi"}])
    assert chat.choices[0].message.content == "hi"
    assert seen.requests[-1].path.endswith("/converse")


def test_a_deployment_may_keep_to_converse(seen: RecordingBedrock) -> None:
    seen.requests.clear()
    with serving(seen) as bedrock, gateway(bedrock, native_surfaces="invoke") as base:
        answer = httpx.post(f"{base}/v1/responses", json={"model": OSS, "input": "hi"}, headers=HEADERS)
    assert answer.json()["status"] == "completed"
    assert seen.requests[-1].path.endswith("/converse")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("throttle", 429, "rate_limit_exceeded"), ("unavailable", 503, "overloaded"), ("garbage", 502, None)],
)
def test_what_goes_wrong_before_the_first_event(url: str, fault: str, status: int, code: str | None) -> None:
    for path, body in (
        ("/v1/responses", {"input": "x", "model": f"{OSS}.{fault}"}),
        ("/v1/responses", {"input": "x", "model": f"{OSS}.{fault}", "stream": True}),
    ):
        answer = httpx.post(url + path, json=body, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("fault", ["cut-3", "stop-3", "exception-3", "throttlemid-3"])
def test_what_goes_wrong_on_the_way_is_told_at_the_end(client: openai.OpenAI, fault: str) -> None:
    events = list(client.responses.create(model=f"{OSS}.{fault}", input="x" * 200, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code in ("server_error", "rate_limit_exceeded")
    assert events[-1].response.model == f"{OSS}.{fault}"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_what_passes_is_waited_for(client: openai.OpenAI) -> None:
    assert client.responses.create(model=f"{OSS}.throttle-2", input="hi").output_text == "hi"


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A gateway before an upstream that gives each of `answers` in turn."""
    left = list(answers)
    lock = threading.Lock()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        with lock:
            writer.write(left.pop(0) if left else b"")
        await writer.drain()
        writer.close()

    with upstream(handle) as bedrock, gateway(bedrock, bedrock_max_attempts=1) as url:
        yield url


SSE = "content-type: text/event-stream\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"code":"validation_error","message":"no such parameter","type":"invalid_request_error"}}', None),
        (b'{"message":"no such parameter"}', None),
    ],
)
def test_refusals_in_either_shape_keep_their_words(body: bytes, message: None) -> None:
    with answering(http_reply(body, "400 Bad Request")) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such parameter")
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_where_only_mantle_has_the_model_the_refusal_says_whom_it_serves(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.NotFoundError, match=r"on mantle Bedrock has it for callers of: openai responses\)"):
        client.chat.completions.create(model=GPT55, messages=[{"role": "user", "content": "x"}])
    body = {"model": GEMMA, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(f"{url}/v1/messages", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 404
    assert "has it for callers of: openai chat, openai responses)" in answer.json()["error"]["message"]


def test_credentials_that_mantle_refuses_are_never_the_caller_s_fault() -> None:
    refusal = http_reply(b'{"error":{"code":"invalid_api_key","message":"who?"}}', "401 Unauthorized")
    with answering(refusal, refusal, refusal) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        502,
        "Bedrock refused the gateway's AWS credentials",
    )


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"object":"response"}', b"<html>"])
def test_an_answer_that_makes_no_sense(body: bytes) -> None:
    with answering(http_reply(body)) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert answer.status_code == 502
    with answering(http_reply(body)) as url:
        chat = {"model": GEMMA, "messages": [{"role": "user", "content": "x"}]}
        assert httpx.post(f"{url}/v1/chat/completions", json=chat, headers=HEADERS).status_code == 502


@pytest.mark.parametrize(
    ("code", "status"), [("server_error", 500), ("invalid_prompt", 400), ("rate_limit_exceeded", 429), ("novel", 502)]
)
def test_a_model_that_failed(code: str, status: int) -> None:
    failed = (
        b'{"object":"response","id":"resp_1","status":"failed","error":{"code":"%s","message":"it broke"}}'
        % code.encode()
    )
    event = b'{"type":"response.failed","sequence_number":0,"response":' + failed + b"}"
    with answering(http_reply(failed)) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "it broke")
    with answering(http_reply(b"data: " + event + b"\n\n", extra=SSE)) as url:
        body = {"model": GPT55, "input": "x", "stream": True}
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
    # nothing had been said yet, so it has a status of its own
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "it broke")
    created = b'data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n'
    with answering(http_reply(created + b"data: " + event + b"\n\n", extra=SSE)) as url:
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
    last = json.loads(answer.text.strip().rpartition("data: ")[2].encode())
    assert (last["type"], last["response"]["error"]["message"]) == ("response.failed", "it broke")
    assert (last["sequence_number"], last["response"]["id"]) == (1, "resp_1")


def test_an_answer_that_is_complete_does_not_depend_on_how_its_connection_ends() -> None:
    created = b'data: {"type":"response.created","response":{"id":"resp_1","object":"response"}}\n\n'
    ended = (
        b'data: {"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed"}}\n\n'
    )
    done = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    # more is announced than comes, and then nothing more is said
    for path, model, body in (("/v1/responses", GPT55, created + ended), ("/v1/chat/completions", GEMMA, done)):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body) + 9}\r\n\r\n"
        with answering(head.encode() + body) as url:
            asked = {"model": model, "stream": True, "input": "x", "messages": [{"role": "user", "content": "x"}]}
            answer = httpx.post(url + path, json=asked, headers=HEADERS)
        assert "failed" not in answer.text
        assert "error" not in answer.text
        assert answer.text.strip().endswith("[DONE]") or "response.completed" in answer.text


def test_a_caller_s_mistake_told_in_a_stream_is_the_caller_s() -> None:
    event = b'data: {"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"long"}}\n\n'
    with answering(*[http_reply(event, extra=SSE)] * 3) as url:
        body = {"model": GPT55, "input": "x", "stream": True}
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_the_same_bytes_give_the_same_frames_however_they_were_split() -> None:
    created = b'data: {"type":"response.created","response":{"id":"resp_1","object":"response"}}\n\n'
    data = created + b'data: {"type":"response.novel-2","x":1}\n\ndata: {"type":"not a kind"}\n\n'
    told = set()
    for cut in (len(data), len(created), len(created) + 9):
        pieces = [data[:cut], data[cut:]]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: Any = pieces) -> None:
            await read_request(reader)
            writer.write(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.1)
            writer.close()

        with upstream(handle) as bedrock, gateway(bedrock, bedrock_max_attempts=1) as url:
            body = {"model": GPT55, "input": "x", "stream": True}
            told.add(httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).text)
    (text,) = told
    assert [line for line in text.splitlines() if line.startswith("event")] == [
        "event: response.created",
        "event: response.novel-2",
        "event: response.failed",
    ]


def test_a_native_conversation_that_another_mode_cannot_carry_is_a_400(client: openai.OpenAI) -> None:
    odd: Any = [{"role": "user", "content": [{"type": "input_odd", "text": "x"}]}, {"role": "user", "content": "hi"}]
    first = client.responses.create(model=GPT55, input=odd)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="scripted.echo-v1:0", input="And?", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize("change", [{"store": "false"}, {"store": 0}, {"stream": "true"}, {"input": 5}])
def test_what_is_neither_is_refused(url: str, change: Any) -> None:
    answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x", **change}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(change)))


def test_what_an_sdk_dumps_of_an_answer_may_come_back(client: openai.OpenAI) -> None:
    first = client.responses.create(model=GPT55, input="weather?", tools=[WEATHER], store=False)
    items: Any = [{"role": "user", "content": "weather?"}, *(item.model_dump() for item in first.output)]
    items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "rain"})
    assert client.responses.create(model=GPT55, input=items, tools=[WEATHER], store=False).output_text
