"""Models that Bedrock serves by OpenAI's API, on the runtime and on mantle, called with OpenAI's SDK."""

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


@pytest.fixture
def client(url: str, recorder: RecordingBedrock) -> Iterator[openai.OpenAI]:
    recorder.requests.clear()
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
def test_each_model_is_called_on_its_service_and_path(
    client: openai.OpenAI, recorder: RecordingBedrock, model: str, service: str, path: str, called: str
) -> None:
    answer = client.responses.create(model=model, input="hi", metadata={"a": "b"}, extra_body={"novel": [1.0]})
    assert (answer.model, answer.output_text, answer.status, answer.store) == (model, "hi", "completed", True)
    (request,) = recorder.requests
    body = request.body
    assert (request.service, request.path, body["model"]) == (service, path, called)
    # unknown fields are passed on; `store` is not, because the gateway stores the response
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


@pytest.mark.parametrize(
    ("model", "service", "path"),
    [
        (GPT56, "bedrock-mantle", "/openai/v1/responses"),
        (f"us.{GPT56}", "bedrock", f"/model/us.{GPT56}/converse"),
        (GPT55, "bedrock-mantle", "/openai/v1/responses"),
        (f"us.{GPT55}", "bedrock", "/openai/v1/responses"),
        ("openai.gpt-oss-120b", "bedrock-mantle", "/v1/responses"),
        (OSS, "bedrock", f"/model/{OSS}/converse"),
    ],
)
def test_a_call_stays_at_the_id_that_the_caller_names(
    client: openai.OpenAI, recorder: RecordingBedrock, model: str, service: str, path: str
) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    answer = client.chat.completions.with_raw_response.create(model=model, messages=messages)
    assert "x-outcrop-adjusted" not in answer.headers
    (request,) = recorder.requests
    assert (request.service, request.path, request.body.get("model", model)) == (service, path, model)
    recorder.requests.clear()
    assert client.responses.create(model=model, input="hi").output_text == "hi"
    (request,) = recorder.requests
    assert request.body.get("model", model) == model or model == OSS


def test_hosted_search_is_run_where_the_base_id_is_served(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    tools: Any = [{"type": "web_search"}]
    for model, ignored in ((GPT56, None), (f"us.{GPT56}", "tools[0]")):
        answer = client.responses.with_raw_response.create(model=model, input="hi", tools=tools)
        assert answer.headers.get("x-outcrop-ignored") == ignored
        assert recorder.requests[-1].body.get("tools") == (None if ignored else tools)


def test_a_profile_of_a_model_on_mantle_is_not_called_by_its_base_id(
    client: openai.OpenAI, recorder: RecordingBedrock
) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=f"us.{GEMMA}", input="hi")
    assert [each.service for each in recorder.requests] == ["bedrock"]


def test_base_id_is_called_by_its_profile_where_mantle_is_not_used(recorder: RecordingBedrock) -> None:
    recorder.requests.clear()
    with serving(recorder) as bedrock, gateway(bedrock, native_surfaces="openai") as base:
        for _ in range(2):
            answer = httpx.post(f"{base}/v1/responses", json={"model": GPT56, "input": "hi"}, headers=HEADERS)
            assert (answer.status_code, answer.headers["x-outcrop-adjusted"]) == (200, "inference_profile")
            assert answer.json()["model"] == GPT56
    paths = [each.path for each in recorder.requests if each.path.startswith("/model/")]
    assert paths == [f"/model/{name}/converse" for name in (GPT56, f"us.{GPT56}", f"us.{GPT56}")]


def test_encrypted_reasoning_is_sent_back_unchanged_in_a_tool_loop(
    client: openai.OpenAI, recorder: RecordingBedrock
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
    sent = [
        item["encrypted_content"] for item in recorder.requests[-1].body["input"] if item.get("type") == "reasoning"
    ]
    assert sent[0].startswith("rsn_")
    assert signed.startswith("oc1.")
    # Bedrock received what it had returned; the embedded Bedrock verified that it is unchanged
    assert sent[0] == encrypt(json.loads(_payload_of(sent[0])))


def _payload_of(encrypted: str) -> bytes:
    from base64 import b64decode

    return b64decode(encrypted.partition(".")[2])


def test_reasoning_not_signed_for_the_model_is_ignored(url: str, recorder: RecordingBedrock) -> None:
    recorder.requests.clear()
    question = {"model": GPT55, "input": "x", "reasoning": {"effort": "low"}, "store": False}
    first = httpx.post(
        f"{url}/v1/responses", json={**question, "include": ["reasoning.encrypted_content"]}, headers=HEADERS
    ).json()
    reasoning = first["output"][0]
    for model, item, ignored in (
        (f"us.{GPT56}", reasoning, ["input[0].encrypted_content"]),
        (GPT55, {**reasoning, "encrypted_content": "rsn_abc.e30="}, ["input[0].encrypted_content"]),
        ("scripted.echo-v1:0", reasoning, ["input[].id", "input[0].encrypted_content"]),
    ):
        body = {"model": model, "input": [item, {"role": "user", "content": "y"}], "store": False}
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
        assert answer.status_code == 200
        assert answer.headers["x-outcrop-ignored"].split(", ") == ignored
    assert all("rsn_" not in str(body) for body in [each.body for each in recorder.requests[1:]])


def test_conversation_continues_from_a_response_stored_by_the_gateway(
    client: openai.OpenAI, recorder: RecordingBedrock
) -> None:
    first = client.responses.create(model=GPT55, input="My name is Ada.", reasoning={"effort": "low"})
    second = client.responses.create(model=GPT55, input="And?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    body = recorder.requests[-1].body
    assert "previous_response_id" not in body
    assert [item.get("role") or item["type"] for item in body["input"]] == ["user", "reasoning", "assistant", "user"]
    assert body["input"][1]["encrypted_content"].startswith("rsn_")
    assert client.responses.retrieve(second.id).output_text == second.output_text
    assert client.responses.delete(second.id) is None
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_namespaces_are_flattened_for_bedrock_and_restored_for_the_caller(
    client: openai.OpenAI, recorder: RecordingBedrock
) -> None:
    tools: Any = [{"type": "namespace", "name": "sky", "tools": [WEATHER]}, {"type": "web_search"}]
    answer = client.responses.with_raw_response.create(model=f"us.{GPT56}", input="weather?", tools=tools)
    assert answer.headers["x-outcrop-ignored"] == "tools[1]"
    (call,) = [item for item in answer.parse().output if item.type == "function_call"]
    assert (call.name, call.model_dump()["namespace"]) == ("get_weather", "sky")
    assert [tool["name"] for tool in recorder.requests[-1].body["tools"]] == ["sky__get_weather"]
    history: Any = [
        {"role": "user", "content": "weather?"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    events = list(client.responses.create(model=f"us.{GPT56}", input=history, tools=tools, stream=True))
    assert events[-1].type == "response.completed"
    assert recorder.requests[-1].body["input"][1]["name"] == "sky__get_weather"
    choice: Any = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "sky"}]}
    client.responses.create(model=GPT55, input="x", tools=tools, tool_choice=choice)
    sent = recorder.requests[-1].body
    assert sent["tool_choice"]["tools"] == [{"type": "function", "name": "sky__get_weather"}]
    # mantle runs server tools
    assert [tool["type"] for tool in sent["tools"]] == ["function", "web_search"]


def test_chat_completions_of_mantle_models_are_native(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    chat = client.chat.completions.create(model=GEMMA, messages=messages)
    assert (chat.model, chat.choices[0].message.content, chat.choices[0].finish_reason) == (GEMMA, "hi", "stop")
    assert chat.usage is not None
    assert (recorder.requests[-1].service, recorder.requests[-1].path) == (
        "bedrock-mantle",
        "/openai/v1/chat/completions",
    )
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


def test_chat_completions_of_gpt_oss_use_converse(client: openai.OpenAI, recorder: RecordingBedrock) -> None:
    chat = client.chat.completions.create(model=OSS, messages=[{"role": "user", "content": "hi"}])
    assert chat.choices[0].message.content == "hi"
    assert recorder.requests[-1].path.endswith("/converse")


def test_native_surfaces_can_exclude_the_openai_surface(recorder: RecordingBedrock) -> None:
    recorder.requests.clear()
    with serving(recorder) as bedrock, gateway(bedrock, native_surfaces="invoke") as base:
        answer = httpx.post(f"{base}/v1/responses", json={"model": OSS, "input": "hi"}, headers=HEADERS)
    assert answer.json()["status"] == "completed"
    assert recorder.requests[-1].path.endswith("/converse")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("throttle", 429, "rate_limit_exceeded"), ("unavailable", 503, "overloaded"), ("garbage", 502, None)],
)
def test_failure_before_the_first_event_has_its_own_status(url: str, fault: str, status: int, code: str | None) -> None:
    for path, body in (
        ("/v1/responses", {"input": "x", "model": f"{OSS}.{fault}"}),
        ("/v1/responses", {"input": "x", "model": f"{OSS}.{fault}", "stream": True}),
    ):
        answer = httpx.post(url + path, json=body, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("fault", ["cut-3", "stop-3", "exception-3", "throttlemid-3"])
def test_mid_stream_failure_ends_with_response_failed(client: openai.OpenAI, fault: str) -> None:
    events = list(client.responses.create(model=f"{OSS}.{fault}", input="x" * 200, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code in ("server_error", "rate_limit_exceeded")
    assert events[-1].response.model == f"{OSS}.{fault}"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_transient_failures_are_retried(client: openai.OpenAI) -> None:
    assert client.responses.create(model=f"{OSS}.throttle-2", input="hi").output_text == "hi"


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Run a gateway in front of an upstream that sends one of `answers` for each connection; yield its base URL."""
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
def test_errors_in_both_formats_keep_their_message(body: bytes, message: None) -> None:
    with answering(http_reply(body, "400 Bad Request")) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such parameter")
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_error_says_that_a_model_is_only_on_mantle_where_that_is_not_used(recorder: RecordingBedrock) -> None:
    body = {"model": GEMMA, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    with serving(recorder) as bedrock, gateway(bedrock, native_surfaces="invoke") as base:
        for path in ("/v1/messages", "/v1/chat/completions"):
            answer = httpx.post(base + path, json=body, headers={"x-api-key": KEY})
            assert answer.status_code == 404
            assert "(Bedrock has it on mantle only, which this deployment" in answer.json()["error"]["message"]


def test_credentials_that_mantle_refuses_return_502() -> None:
    refusal = http_reply(b'{"error":{"code":"invalid_api_key","message":"who?"}}', "401 Unauthorized")
    with answering(refusal, refusal, refusal) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        502,
        "Bedrock refused the gateway's AWS credentials",
    )


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"object":"response"}', b"<html>"])
def test_malformed_response_returns_502(body: bytes) -> None:
    with answering(http_reply(body)) as url:
        answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x"}, headers=HEADERS)
    assert answer.status_code == 502
    with answering(http_reply(body)) as url:
        chat = {"model": GEMMA, "messages": [{"role": "user", "content": "x"}]}
        assert httpx.post(f"{url}/v1/chat/completions", json=chat, headers=HEADERS).status_code == 502


@pytest.mark.parametrize(
    ("code", "status"), [("server_error", 500), ("invalid_prompt", 400), ("rate_limit_exceeded", 429), ("novel", 502)]
)
def test_failed_response_has_the_status_of_its_code(code: str, status: int) -> None:
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
    # the stream had not started, so the failure has its own status
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "it broke")
    created = b'data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n'
    with answering(http_reply(created + b"data: " + event + b"\n\n", extra=SSE)) as url:
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
    last = json.loads(answer.text.strip().rpartition("data: ")[2].encode())
    assert (last["type"], last["response"]["error"]["message"]) == ("response.failed", "it broke")
    assert (last["sequence_number"], last["response"]["id"]) == (1, "resp_1")


def test_complete_stream_succeeds_if_its_connection_breaks_afterwards() -> None:
    created = b'data: {"type":"response.created","response":{"id":"resp_1","object":"response"}}\n\n'
    ended = (
        b'data: {"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed"}}\n\n'
    )
    done = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    # the content length is larger than the body, and then the connection is closed
    for path, model, body in (("/v1/responses", GPT55, created + ended), ("/v1/chat/completions", GEMMA, done)):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body) + 9}\r\n\r\n"
        with answering(head.encode() + body) as url:
            body_sent = {"model": model, "stream": True, "input": "x", "messages": [{"role": "user", "content": "x"}]}
            answer = httpx.post(url + path, json=body_sent, headers=HEADERS)
        assert "failed" not in answer.text
        assert "error" not in answer.text.replace('"error":null', "")
        assert answer.text.strip().endswith("[DONE]") or "response.completed" in answer.text


def test_invalid_request_error_in_a_stream_returns_400() -> None:
    event = b'data: {"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"long"}}\n\n'
    with answering(*[http_reply(event, extra=SSE)] * 3) as url:
        body = {"model": GPT55, "input": "x", "stream": True}
        answer = httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_split_of_the_bytes_does_not_change_the_events() -> None:
    created = b'data: {"type":"response.created","response":{"id":"resp_1","object":"response"}}\n\n'
    data = created + b'data: {"type":"response.novel-2","x":1}\n\ndata: {"type":"not a kind"}\n\n'
    texts = set()
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
            texts.add(httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).text)
    (text,) = texts
    assert [line for line in text.splitlines() if line.startswith("event")] == [
        "event: response.created",
        "event: response.novel-2",
        "event: response.failed",
    ]


def test_stored_native_items_that_cannot_be_translated_return_400(client: openai.OpenAI) -> None:
    odd: Any = [{"role": "user", "content": [{"type": "input_odd", "text": "x"}]}, {"role": "user", "content": "hi"}]
    first = client.responses.create(model=GPT55, input=odd)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="scripted.echo-v1:0", input="And?", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize("change", [{"store": "false"}, {"store": 0}, {"stream": "true"}, {"input": 5}])
def test_fields_of_the_wrong_type_return_400(url: str, change: Any) -> None:
    answer = httpx.post(f"{url}/v1/responses", json={"model": GPT55, "input": "x", **change}, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(change)))


def test_output_items_dumped_by_the_sdk_are_accepted_as_input(client: openai.OpenAI) -> None:
    first = client.responses.create(model=GPT55, input="weather?", tools=[WEATHER], store=False)
    items: Any = [{"role": "user", "content": "weather?"}, *(item.model_dump() for item in first.output)]
    items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "rain"})
    assert client.responses.create(model=GPT55, input=items, tools=[WEATHER], store=False).output_text
