"""Chat Completions, models and errors with OpenAI's SDK."""

import asyncio
import json
import uuid
from base64 import b64encode
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.servers import KEY, gateway, http_reply, read_request, upstream

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock.now"}}
PNG = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()


def user_turn(text: str = "Say hello.") -> Any:
    return [{"role": "user", "content": text}]


def test_chat_completion_returns_text_and_usage(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="scripted.echo-v1:0", messages=user_turn("Grüezi \N{SNOWMAN}"))
    assert completion.choices[0].message.content == "Grüezi \N{SNOWMAN}"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0


def test_default_model_is_used_if_none_is_named(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model="default", messages=user_turn("a")).model == "default"
    unnamed = client.chat.completions.create(model="", messages=user_turn("a"))
    assert (unnamed.model, unnamed.choices[0].message.content) == ("scripted.echo-v1:0", "a")


def test_streamed_chunks_equal_the_complete_response(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="scripted.long-v1:0", messages=user_turn(), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    complete = client.chat.completions.create(model="scripted.long-v1:0", messages=user_turn())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == complete.choices[0].message.content
    assert len(chunks) > 100
    assert chunks[-1].choices == []
    assert chunks[-1].usage == complete.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_max_completion_tokens_and_stop_end_the_response(client: openai.OpenAI) -> None:
    short = client.chat.completions.create(model="scripted.long-v1:0", messages=user_turn(), max_completion_tokens=5)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 5)  # type: ignore[union-attr]
    stopped = client.chat.completions.create(model="scripted.long-v1:0", messages=user_turn(), stop=["answer"])
    assert stopped.choices[0].message.content == "Sentence 1 of a long "
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("scene", ["tools", "parallel", "toolonly"])
@pytest.mark.parametrize("streamed", [False, True])
def test_tool_results_are_accepted_after_tool_calls(client: openai.OpenAI, scene: str, streamed: bool) -> None:
    request: Any = {"model": f"scripted.{scene}-v1:0", "messages": user_turn("Weather?"), "tools": [WEATHER, CLOCK]}
    if streamed:
        with client.chat.completions.stream(**request) as stream:
            for _ in stream:
                pass
            message = stream.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**request).choices[0].message
    calls = message.tool_calls or []
    names = [call.function.name for call in calls]
    assert names == (["get_weather", "clock.now"] if scene == "parallel" else ["get_weather"])
    assert json.loads(calls[0].function.arguments) == {"city": "sample"}
    assert (message.content is None or message.content == "") is (scene == "toolonly")
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {number}"} for number, call in enumerate(calls)
    ]
    history = [*request["messages"], message.model_dump(exclude_none=True, exclude={"parsed"}), *results]
    answer = client.chat.completions.create(**{**request, "messages": history})
    expected = "; ".join(f"result {number}" for number in range(len(calls)))
    assert answer.choices[0].message.content == f"The tools said: {expected}"


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_accepted_with_its_signature_and_refused_if_changed(client: openai.OpenAI, streamed: bool) -> None:
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    request: Any = {"model": model, "messages": user_turn("Weather?"), "tools": [WEATHER], "reasoning_effort": "low"}
    if streamed:
        deltas = [
            chunk.choices[0].delta.model_dump() for chunk in client.chat.completions.create(**request, stream=True)
        ]
        reasoning = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        # OpenAI's suite for gpt-oss reads the other name
        assert "".join(delta.get("reasoning") or "" for delta in deltas) == reasoning
        blocks = [block for delta in deltas for block in delta.get("thinking_blocks") or []]
        call = next(delta["tool_calls"][0] for delta in deltas if delta.get("tool_calls"))
        call["function"]["arguments"] = '{"city":"sample"}'
    else:
        message = client.chat.completions.create(**request).choices[0].message.model_dump()
        reasoning, blocks, call = message["reasoning_content"], message["thinking_blocks"], message["tool_calls"][0]
        assert message["reasoning"] == reasoning
    assert reasoning.startswith("The user says: 'Weather?'")
    assert blocks[0]["thinking"] == reasoning
    assert blocks[0]["signature"]

    def again(thinking: Any) -> Any:
        turn = {
            "role": "assistant",
            "content": "I will look that up.",
            "tool_calls": [call],
            "thinking_blocks": thinking,
        }
        result = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
        return client.chat.completions.create(**{**request, "messages": [*request["messages"], turn, result]})

    assert again(blocks).choices[0].message.content == "The tools said: sunny"
    with pytest.raises(openai.BadRequestError, match="Invalid `signature`"):
        again([{**blocks[0], "thinking": "something else"}])


def test_images_and_documents_are_sent(client: openai.OpenAI) -> None:
    file = {
        "filename": "my report (final).pdf",
        "file_data": "data:application/pdf;base64," + b64encode(b"%PDF-1.4").decode(),
    }
    content: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": file},
    ]
    message = client.chat.completions.create(
        model="scripted.media-v1:0", messages=[{"role": "user", "content": content}]
    )
    assert message.choices[0].message.content == (
        "I see image png of about 48 bytes, document pdf 'my report (final)' of about 9 bytes."
    )


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize(
    "model",
    [
        "scripted.structured-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.mistral.pixtral-large-2502-v1:0",
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_structured_output_is_parsed(client: openai.OpenAI, model: str, streamed: bool) -> None:
    if streamed:
        with client.chat.completions.stream(
            model=model, messages=user_turn("A person"), response_format=Person
        ) as stream:
            for _ in stream:
                pass
            parsed = stream.get_final_completion()
    else:
        parsed = client.chat.completions.parse(model=model, messages=user_turn("A person"), response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="sample", age=7)
    assert parsed.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("scene", "content", "reason"),
    [
        ("redacted", "hi", "stop"),
        ("citations", "According to the sources, this is so. And so is that.", "stop"),
        ("guarded", "Sorry, the guardrail blocked this.", "content_filter"),
        ("servertool", "The answer is 42.", "stop"),
        ("silent", "", "stop"),
        ("cached", "hi", "stop"),
    ],
)
def test_other_responses_have_their_content_and_finish_reason(
    client: openai.OpenAI, scene: str, content: str, reason: str
) -> None:
    choice = client.chat.completions.create(model=f"scripted.{scene}-v1:0", messages=user_turn("hi")).choices[0]
    assert (choice.message.content, choice.finish_reason) == (content, reason)


def test_usage_includes_cached_tokens(client: openai.OpenAI) -> None:
    usage = client.chat.completions.create(model="scripted.cached-v1:0", messages=user_turn("hi")).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1200
    assert usage.prompt_tokens > 1500


def test_tool_choice_none_prevents_tool_calls(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(
        model="scripted.tools-v1:0", messages=user_turn(), tools=[WEATHER], tool_choice="none"
    )
    assert first.choices[0].message.tool_calls is None
    call = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    history: Any = [
        *user_turn(),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        *user_turn("and?"),
    ]
    second = client.chat.completions.create(
        model="scripted.toolonly-v1:0", messages=history, tools=[WEATHER], tool_choice="none"
    )
    assert second.choices[0].message.tool_calls is None
    assert second.choices[0].finish_reason == "stop"


def test_headers_name_ignored_and_adjusted_fields(client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        messages=user_turn(),
        temperature=2,
        top_p=0.5,
        seed=1,
        extra_body={"new": 1},
    )
    assert answer.headers["x-outcrop-ignored"] == "seed, new"
    assert answer.headers["x-outcrop-adjusted"] == "temperature, top_p"
    assert answer.headers["x-outcrop-repaired"] == answer.headers["x-outcrop-adjusted"], (
        "the former name is sent until 1.0"
    )


def test_field_names_are_sanitized_and_truncated_in_the_header(client: openai.OpenAI) -> None:
    extra = {"bad\r\nx-evil: 1\N{SNOWMAN}": 1, "x" * 3000: 2}
    answer = client.chat.completions.with_raw_response.create(model="", messages=user_turn(), extra_body=extra)
    assert "x-evil" not in answer.headers
    assert answer.headers["x-outcrop-ignored"].startswith("bad??x-evil: 1?, xxx")
    assert len(answer.headers["x-outcrop-ignored"]) < 2100


@pytest.mark.parametrize(
    ("change", "kind", "code", "param"),
    [
        ({"model": "scripted.nothing-v1:0"}, openai.NotFoundError, "model_not_found", None),
        ({"model": "not a model"}, openai.BadRequestError, None, "model"),
        ({"n": 2}, openai.BadRequestError, None, "n"),
        ({"logprobs": True}, openai.BadRequestError, None, "logprobs"),
        ({"service_tier": "scale"}, openai.BadRequestError, None, "service_tier"),
        ({"modalities": ["text", "audio"]}, openai.BadRequestError, None, "modalities"),
        ({"functions": [{"name": "f"}]}, openai.BadRequestError, None, "functions"),
        ({"tool_choice": "required"}, openai.BadRequestError, None, "tool_choice"),
        ({"messages": []}, openai.BadRequestError, None, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, None, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            openai.BadRequestError,
            None,
            "messages[0].content[0].text",
        ),
        ({"temperature": 3}, openai.BadRequestError, None, "temperature"),
        ({"model": "scripted.echo-v1:0.toolong"}, openai.BadRequestError, "context_length_exceeded", None),
        ({"model": "scripted.echo-v1:0.denied"}, openai.PermissionDeniedError, None, None),
        ({"model": "scripted.echo-v1:0.throttle"}, openai.RateLimitError, "rate_limit_exceeded", None),
        ({"model": "scripted.echo-v1:0.quota"}, openai.RateLimitError, "insufficient_quota", None),
        ({"model": "scripted.echo-v1:0.internal"}, openai.InternalServerError, None, None),
        ({"model": "scripted.malformed-v1:0"}, openai.InternalServerError, None, None),
    ],
)
def test_errors_raise_the_exception_of_their_type(
    client: openai.OpenAI, change: Any, kind: type[openai.APIStatusError], code: str | None, param: str | None
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "scripted.echo-v1:0", "messages": user_turn(), **change})
    assert (caught.value.code, caught.value.param) == (code, param)
    assert uuid.UUID(caught.value.request_id)


@pytest.mark.parametrize("depth", [300, 600, 900, 950, 990, 3000, 100_000])
@pytest.mark.parametrize("index", ["response_format", "tools", "new"])
def test_deeply_nested_body_is_accepted_or_returns_400(
    client: openai.OpenAI, gateway_url: str, depth: int, index: str
) -> None:
    deep = '{"not":' * depth + "{}" + "}" * depth
    bodies = {
        "response_format": '"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":%s}}',
        "tools": '"tools":[{"type":"function","function":{"name":"n","parameters":%s}}]',
        "new": '"new":%s',
    }
    body = (
        '{"model":"us.anthropic.claude-sonnet-4-6","messages":[{"role":"user","content":"x"}],'
        + bodies[index] % deep
        + "}"
    )
    answer = httpx.post(f"{gateway_url}/v1/chat/completions", content=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200 or (answer.status_code == 400 and "nested" in answer.text)


def test_throttling_returns_retry_after(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="scripted.echo-v1:0.retryafter-7", messages=user_turn())
    assert caught.value.response.headers["retry-after"] == "7"


def test_wrong_key_raises_authentication_error(gateway_url: str) -> None:
    with (
        openai.OpenAI(base_url=f"{gateway_url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


@pytest.mark.parametrize("fault", ["exception-2", "throttlemid-2", "modelstream-2", "cut-2", "stop-2", "badcrc-2"])
def test_broken_stream_ends_with_an_error(client: openai.OpenAI, fault: str) -> None:
    stream = client.chat.completions.create(model=f"scripted.long-v1:0.{fault}", messages=user_turn(), stream=True)
    seen = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    assert len(seen) == 2
    assert not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.message


@pytest.mark.parametrize(
    ("fault", "kind"), [("exception-0", openai.InternalServerError), ("throttlemid-0", openai.RateLimitError)]
)
def test_failure_before_the_first_event_has_its_own_status(
    client: openai.OpenAI, fault: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        client.chat.completions.create(model=f"scripted.echo-v1:0.{fault}", messages=user_turn(), stream=True)


@pytest.mark.parametrize("fault", ["throttle-2", "unavailable-1", "notready-2", "internal-1"])
@pytest.mark.parametrize("streamed", [False, True])
def test_transient_failures_are_retried(client: openai.OpenAI, records: Any, fault: str, streamed: bool) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model=f"scripted.echo-v1:0.{fault}", messages=user_turn(str(uuid.uuid4())), stream=streamed
    )
    assert answer.status_code == 200
    if streamed:
        list(answer.parse())
    assert records.by_id(answer.headers["x-request-id"]).attempts == int(fault[-1]) + 1


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert "scripted.echo-v1:0" in listed
    assert "us.anthropic.claude-sonnet-4-5-20250929-v1:0" in listed
    assert "anthropic.claude-sonnet-4-5-20250929-v1:0" not in listed
    assert "cohere.embed-v4:0" not in listed
    assert client.models.retrieve("amazon.nova-pro-v1:0").owned_by == "amazon"
    account = "arn:aws:bedrock:us-east-1:123456789012"
    for name in (
        f"{account}:inference-profile/us.anthropic.claude-sonnet-4-6",
        "anthropic.claude-sonnet-4-6",
        "default",
    ):
        assert client.models.retrieve(name).id == name
    for name in (
        f"{account}:inference-profile/eu.nobody.x",
        "eu.amazon.nova-pro-v1:0",
        f"{account}:prompt/x",
        "no model",
    ):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no/such:model")
    assert caught.value.code == "model_not_found"


async def test_asynchronous_client_streams(gateway_url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway_url}/v1", api_key=KEY) as client:
        stream = await client.chat.completions.create(
            model="scripted.echo-v1:0", messages=user_turn("hello"), stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "hello"


@pytest.mark.parametrize(("status", "attempts"), [(429, 3), (503, 3), (400, 1), (504, 1)])
def test_retries_of_the_sdk_do_not_multiply_the_attempts(status: int, attempts: int) -> None:
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        if status == 504:
            await reader.read()
        writer.write(http_reply(b'{"message":"no"}', f"{status} No"))
        await writer.drain()

    with upstream(handle) as url, gateway(url, bedrock_read_timeout=0.3) as base:
        with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=2) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                client.chat.completions.create(model="a.b", messages=user_turn())
        assert (caught.value.status_code, count) == (status, attempts)
