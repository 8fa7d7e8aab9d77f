"""Anthropic's SDK against a gateway in front of the embedded Bedrock, in native and translated mode."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from pydantic import BaseModel

from app.wire import json
from tests.bedrock.test_stream_decoding import event_frame
from tests.end_to_end.conftest import Records
from tests.servers import KEY, KEY_NAME, gateway, http_reply, read_request, upstream

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ECHO = "scripted.echo-v1:0"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def user_turn(text: str = "hello") -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def claude(gateway_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(("model", "mode"), [(CLAUDE, "native"), (ECHO, "translated")])
def test_complete_and_streamed_responses_have_the_same_text_and_usage(
    claude: anthropic.Anthropic, records: Any, model: str, mode: str
) -> None:
    raw = claude.messages.with_raw_response.create(model=model, max_tokens=50, messages=user_turn("Grüezi"))
    message = raw.parse()
    assert message.content[0].text == "Grüezi"  # type: ignore[union-attr]
    assert (message.model, message.stop_reason, message.role) == (model, "end_turn", "assistant")
    assert message.usage.output_tokens > 0
    assert raw.headers["request-id"] == message._request_id
    record = records.by_id(raw.headers["request-id"])
    assert (record.mode, record.dialect, record.usage.output) == (
        mode,
        "anthropic_messages",
        message.usage.output_tokens,
    )
    with claude.messages.stream(model=model, max_tokens=50, messages=user_turn("Grüezi")) as stream:
        assert "".join(stream.text_stream) == "Grüezi"
        final = stream.get_final_message()
    assert (final.model, final.usage.output_tokens) == (model, message.usage.output_tokens)
    assert records.by_id(stream.request_id).usage.output == message.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("scene", ["tools", "parallel", "toolonly"])
def test_tool_results_are_accepted_after_tool_calls(claude: anthropic.Anthropic, scene: str, streamed: bool) -> None:
    request: Any = {"model": f"scripted.{scene}-v1:0", "max_tokens": 200, "tools": [WEATHER]}
    first = create(claude, streamed, messages=user_turn("Weather?"), **request)
    uses = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert uses
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
    history = [
        *user_turn("Weather?"),
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    second = create(claude, streamed, messages=history, **request)
    assert second.stop_reason == "end_turn"
    assert second.content[0].type == "text"


def create(client: anthropic.Anthropic, streamed: bool, **request: Any) -> Any:
    if not streamed:
        return client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("scene", ["thinking", "redacted"])
def test_reasoning_blocks_are_accepted_in_later_turns(claude: anthropic.Anthropic, scene: str, streamed: bool) -> None:
    history = user_turn("Think.")
    for turn in range(3):
        answer = create(
            claude, streamed, model=f"scripted.{scene}-v1:0", max_tokens=3000, messages=history,
            thinking={"type": "enabled", "budget_tokens": 2000},
        )  # fmt: skip
        kinds = [block.type for block in answer.content]
        assert kinds[0] in ("thinking", "redacted_thinking")
        history += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": f"Go on {turn}."}]


REASONING = {"type": "thinking", "thinking": "Zürich…", "signature": "EqQBCkgIBRABGAIqQP/+=="}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a=="}
TURNS: Any = [
    *user_turn("When?"),
    {
        "role": "assistant",
        "content": [REASONING, REDACTED, {"type": "tool_use", "id": "toolu_1", "name": "clock", "input": {}}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}]},
    {"role": "assistant", "content": [REASONING, {"type": "text", "text": "Noon."}]},
    *user_turn("Sure?"),
]


@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    ],
)
def test_signatures_and_redacted_reasoning_are_sent_unchanged(model: str) -> None:
    seen: list[tuple[bytes, Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read_request(reader)
        seen.append((head.split(b" ")[1], json.loads(body)))
        native = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
        reply = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn", "usage": {}}
        writer.write(http_reply(json.dumps(native if seen[-1][0].endswith(b"/invoke") else reply)))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        with anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
            client.messages.create(model=model, max_tokens=100, messages=TURNS, tools=[{"name": "clock", "input_schema": {"type": "object"}}])  # fmt: skip
    (path, body), *_ = seen
    first, last = body["messages"][1]["content"], body["messages"][3]["content"]
    if path.endswith(b"/invoke"):
        assert (first[0], first[1], last[0]) == (REASONING, REDACTED, REASONING)
    else:
        signed = {"reasoningText": {"text": REASONING["thinking"], "signature": REASONING["signature"]}}
        assert [first[0]["reasoningContent"], last[0]["reasoningContent"]] == [signed, signed]
        assert first[1]["reasoningContent"] == {"redactedContent": REDACTED["data"]}


def test_token_counts_are_exact_or_marked_as_estimated(claude: anthropic.Anthropic, gateway_url: str) -> None:
    by_profile = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    for model in (CLAUDE, ECHO, by_profile, by_profile.removeprefix("us.")):
        assert claude.messages.count_tokens(model=model, messages=user_turn("one two three")).input_tokens == 7
    raw = claude.messages.with_raw_response.count_tokens(
        model="us.amazon.nova-pro-v1:0", messages=user_turn("one two three")
    )
    assert raw.headers["x-outcrop-estimated"] == "input_tokens"
    assert raw.parse().input_tokens > 0
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="scripted.nothing-v1:0", messages=user_turn())
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.count_tokens(model=ECHO, messages=[{"role": "wizard", "content": "x"}])  # type: ignore[typeddict-item]


def test_models_are_listed_in_pages_and_retrieved(claude: anthropic.Anthropic, gateway_url: str) -> None:
    listed = [model.id for model in claude.models.list(limit=7)]
    everything = claude.models.list(limit=1000)
    assert not everything.has_more
    assert listed == [model.id for model in everything.data]
    assert claude.models.retrieve(listed[3]).id == listed[3]
    page = claude.models.list(limit=2, before_id=listed[5])
    assert [model.id for model in page.data] == listed[3:5]
    assert page.has_more
    with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
        claude.models.retrieve("nothing")
    assert claude.models.with_raw_response.list().headers["request-id"]
    for limit in ("0", "\N{SUPERSCRIPT TWO}", "9" * 5000, "-1", "x"):
        refused = httpx.get(
            f"{gateway_url}/v1/models", params={"limit": limit}, headers={"x-api-key": KEY, "anthropic-version": "x"}
        )
        assert (refused.status_code, refused.json()["error"]["message"][:6]) == (400, "limit:")
    answer = httpx.get(f"{gateway_url}/v1/models", headers={"x-api-key": "wrong", "anthropic-version": "2023-06-01"})
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"model": "scripted.nothing-v1:0"}, anthropic.NotFoundError, "not_found_error"),
        ({"model": "no such"}, anthropic.BadRequestError, "model: the model's name"),
        ({"model": 5}, anthropic.BadRequestError, "model: must be a string"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, anthropic.BadRequestError, "messages"),
        ({"model": f"{ECHO}.toolong"}, anthropic.BadRequestError, "prompt is too long"),
        ({"model": f"{ECHO}.denied"}, anthropic.PermissionDeniedError, "permission_error"),
        ({"model": f"{ECHO}.throttle"}, anthropic.RateLimitError, "rate_limit_error"),
        ({"model": f"{ECHO}.internal"}, anthropic.InternalServerError, "api_error"),
        ({"model": f"{ECHO}.unavailable"}, anthropic.APIStatusError, "overloaded_error"),
        ({"model": CLAUDE, "messages": "x"}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_errors_raise_the_exception_of_their_type(
    claude: anthropic.Anthropic, change: Any, kind: Any, words: str
) -> None:
    request: Any = {"model": ECHO, "max_tokens": 5, "messages": user_turn(), **change}
    with pytest.raises(kind, match=words):
        claude.messages.create(**request)


@pytest.mark.parametrize("model", [ECHO, CLAUDE])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": 5}', b'{"messages": [{"role": "user", "content": "x"}]}']
)
def test_malformed_bodies_return_invalid_request_error(gateway_url: str, model: str, body: bytes) -> None:
    content = body.replace(b'{"messages"', b'{"model": "%s", "messages"' % model.encode())
    answer = httpx.post(f"{gateway_url}/v1/messages", content=content, headers={"x-api-key": KEY})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    if b"messages" in body:
        assert answer.json()["error"]["message"] == "max_tokens: Field required"


def test_wrong_key_is_refused_and_a_bearer_token_is_accepted(gateway_url: str) -> None:
    with anthropic.Anthropic(base_url=gateway_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError, match="authentication_error"):
            client.messages.create(model=ECHO, max_tokens=5, messages=user_turn())
    with anthropic.Anthropic(base_url=gateway_url, auth_token=KEY, max_retries=0) as client:
        assert client.messages.create(model=ECHO, max_tokens=5, messages=user_turn("x")).content


MID_STREAM_FAULTS = ["exception-2", "throttlemid-2", "modelstream-2", "cut-2", "stop-2", "badcrc-2"]


@pytest.mark.parametrize("fault", MID_STREAM_FAULTS)
@pytest.mark.parametrize("model", ["scripted.long-v1:0", CLAUDE])
def test_broken_stream_ends_with_an_error_event(claude: anthropic.Anthropic, model: str, fault: str) -> None:
    request: Any = {"model": f"{model}.{fault}", "max_tokens": 200, "messages": user_turn("a b c d e f g h")}
    seen: list[Any] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        seen.extend(claude.messages.create(**request, stream=True))
    assert seen[0].type == "message_start"
    assert caught.value.status_code == 200
    kinds = {"throttlemid-2": "rate_limit_error"}
    body: Any = caught.value.body
    assert body["error"]["type"] == kinds.get(fault, "api_error")
    assert body["request_id"] == caught.value.request_id


@pytest.mark.parametrize(
    ("fault", "kind"), [("throttle", anthropic.RateLimitError), ("exception-0", anthropic.InternalServerError)]
)
@pytest.mark.parametrize("model", [ECHO, CLAUDE])
def test_failure_before_the_first_event_has_its_own_status(
    claude: anthropic.Anthropic, model: str, fault: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        claude.messages.create(model=f"{model}.{fault}", max_tokens=9, messages=user_turn(), stream=True)


@pytest.mark.parametrize("model", [ECHO, CLAUDE])
def test_silent_streams_get_heartbeats(emulator_url: str, model: str) -> None:
    body = {"model": f"{model}.drip-100", "max_tokens": 9, "messages": user_turn("a"), "stream": True}
    with gateway(emulator_url, heartbeat_interval=0.025) as url:
        text = httpx.post(f"{url}/v1/messages", json=body, headers={"x-api-key": KEY}, timeout=20).text
        assert text.count("event: ping") > 4
        chat = {**body, "model": f"{ECHO}.drip-100"}
        chunks = httpx.post(f"{url}/v1/chat/completions", json=chat, headers={"x-api-key": KEY}, timeout=20).text
        assert chunks.count(": still here") > 3
        assert chunks.endswith("data: [DONE]\n\n")


def test_default_model_can_be_a_native_model(emulator_url: str) -> None:
    with gateway(emulator_url, bedrock_model_id=CLAUDE) as url:
        body = {"max_tokens": 9, "messages": user_turn("hi")}
        for model in ({}, {"model": "default"}):
            answer = httpx.post(f"{url}/v1/messages", json={**body, **model}, headers={"x-api-key": KEY}).json()
            assert answer["id"].startswith("msg_bdrk_")
            assert answer["model"] == model.get("model", CLAUDE)


@pytest.mark.parametrize("model", [ECHO, CLAUDE])
@pytest.mark.parametrize("streamed", ["yes", 1, "false"])
def test_stream_must_be_a_boolean(gateway_url: str, model: str, streamed: Any) -> None:
    body = {"model": model, "max_tokens": 9, "messages": user_turn(), "stream": streamed}
    answer = httpx.post(f"{gateway_url}/v1/messages", json=body, headers={"x-api-key": KEY})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "stream: must be true or false")


def test_usage_is_recorded_from_native_responses_without_count_headers() -> None:
    records = Records()
    events: list[Any] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        if b"/invoke " in head:
            writer.write(http_reply(json.dumps({"type": "message", "usage": {"input_tokens": 2, "output_tokens": 5}})))
        else:
            frames = b"".join(
                event_frame("chunk", {"bytes": b64encode(json.dumps(event)).decode()}) for event in events
            )
            writer.write(http_reply(frames, content_type="application/vnd.amazon.eventstream"))
        await writer.drain()

    with upstream(handle) as url, gateway(url, records) as base:
        for streamed in (False, True):
            body = {"model": CLAUDE, "max_tokens": 9, "messages": user_turn(), "stream": streamed}
            assert httpx.post(f"{base}/v1/messages", json=body, headers={"x-api-key": KEY}).status_code == 200
    usages = [record.usage for record in records.all if record.route == "/v1/messages"]
    assert [(usage.input, usage.output) for usage in usages] == [(2, 5), (3, 7)]


def test_token_count_sets_max_tokens_above_the_budget_and_estimates_images() -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        seen.append(json.loads(b64decode(json.loads(body)["input"]["invokeModel"]["body"])))
        refusal = b'{"message":"The provided model doesn\'t support counting tokens."}'
        writer.write(http_reply(refusal, "400 Bad Request", extra="x-amzn-errortype: ValidationException\r\n"))
        await writer.drain()

    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    with upstream(handle) as url, gateway(url) as base:
        body = {
            "model": CLAUDE,
            "max_tokens": None,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "messages": [{"role": "user", "content": [picture]}],
            "speed": "fast",
        }
        answer = httpx.post(f"{base}/v1/messages/count_tokens", json=body, headers={"x-api-key": KEY})
    assert seen[0]["max_tokens"] == 2001
    assert 1600 < answer.json()["input_tokens"] < 1700
    assert answer.headers["x-outcrop-estimated"] == "input_tokens"
    assert answer.headers["x-outcrop-ignored"] == "speed"


def test_headers_name_ignored_and_adjusted_fields(claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        model=CLAUDE, max_tokens=5, messages=user_turn(), extra_body={"speed": "fast"},
        system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        extra_headers={"anthropic-beta": "claude-code-20250219,effort-2025-11-24"},
    )  # fmt: skip
    assert raw.headers["x-outcrop-ignored"] == "speed, anthropic-beta:claude-code-20250219"
    assert raw.headers["x-outcrop-adjusted"] == "cache_ttl"


def test_anthropic_bedrock_client_is_passed_through(gateway_url: str, records: Any) -> None:
    with anthropic.AnthropicBedrock(
        aws_access_key=KEY_NAME, aws_secret_key=KEY, aws_region="us-east-1", base_url=gateway_url, max_retries=0
    ) as client:
        assert client.messages.create(model=CLAUDE, max_tokens=5, messages=user_turn("hi")).content[0].text == "hi"  # type: ignore[union-attr]
        with client.messages.stream(model=CLAUDE, max_tokens=5, messages=user_turn("hi")) as stream:
            assert stream.get_final_text() == "hi"
    assert [record.mode for record in records.all[-2:]] == ["passthrough", "passthrough"]


async def test_asynchronous_client_streams(gateway_url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway_url, api_key=KEY, max_retries=0) as client:
        async with client.messages.stream(model=ECHO, max_tokens=50, messages=user_turn("hello")) as stream:
            assert [text async for text in stream.text_stream] != []


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("DELETE", "/v1/files", 404, "not_found_error"),
    ],
)
def test_unknown_paths_return_errors_of_anthropic(
    gateway_url: str, method: str, path: str, status: int, kind: str
) -> None:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    answer = httpx.request(method, gateway_url + path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


@pytest.mark.parametrize("model", [CLAUDE, ECHO])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_thread_is_refused_with_the_error_code_that_clients_expect(gateway_url: str, path: str, model: str) -> None:
    body = {
        "model": model,
        "max_tokens": 5,
        "messages": user_turn(),
        "thread": {"type": "continue", "previous_message_id": "m"},
    }
    answer = httpx.post(gateway_url + path, json=body, headers={"x-api-key": KEY})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("thread: ")
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert httpx.post(gateway_url + path, json={**body, "thread": None}, headers={"x-api-key": KEY}).status_code == 200


def test_tool_runner_completes_the_conversation(claude: anthropic.Anthropic) -> None:
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather.

        Args:
            city: where.
        """
        return f"sunny in {city}"

    runner = claude.beta.messages.tool_runner(
        model="scripted.tools-v1:0", max_tokens=200, tools=[get_weather], messages=user_turn("Weather?")
    )
    last = runner.until_done()
    assert (last.stop_reason, last.content[0].type) == ("end_turn", "text")


@pytest.mark.parametrize("model", ["us.anthropic.claude-sonnet-4-6", "us.amazon.nova-2-lite-v1:0"])
def test_output_format_is_an_alias_of_output_config_format(model: str) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(json.loads((await read_request(reader))[1]))
        writer.write(http_reply(b'{"message":"seen"}', "400 Bad Request"))
        await writer.drain()

    wanted = {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
    body = {"model": model, "max_tokens": 5, "messages": user_turn()}
    headers = {"x-api-key": KEY, "anthropic-beta": "structured-outputs-2025-11-13"}
    with upstream(handle) as url, gateway(url) as base:
        for format_field in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
            answer = httpx.post(f"{base}/v1/messages", json={**body, **format_field}, headers=headers)
            assert "x-outcrop-ignored" not in answer.headers
        both = {"output_config": {"format": wanted, "effort": "low"}, "output_format": {"type": "novel"}}
        httpx.post(f"{base}/v1/messages", json={**body, **both}, headers=headers)
    assert seen[0] == seen[1]
    assert "additionalProperties" in json.dumps_text(seen[0])
    assert "novel" not in json.dumps_text(seen[2])


class City(BaseModel):
    """An answer."""

    name: str


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "model", ["us.anthropic.claude-sonnet-5", "us.anthropic.claude-opus-4-8", "us.anthropic.claude-sonnet-4-6", CLAUDE]
)
def test_every_claude_returns_output_that_matches_the_schema(
    claude: anthropic.Anthropic, model: str, streamed: bool
) -> None:
    request: Any = {"model": model, "max_tokens": 90, "messages": user_turn("Where?"), "output_format": City}
    if streamed:
        with claude.messages.stream(**request) as stream:
            message: Any = stream.get_final_message()
    else:
        message = claude.messages.parse(**request)
    assert isinstance(message.parsed_output, City)
    assert message.stop_reason == "end_turn"
