"""Anthropic's own client against a real gateway before the embedded Bedrock, in both lanes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from app.kit import json
from tests.servers import KEY, KEY_NAME, gateway, http_reply, read_request, upstream

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
ECHO = "scripted.echo-v1:0"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(text: str = "hello") -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def claude(gateway_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(("model", "lane"), [(CLAUDE, "native"), (ECHO, "translated")])
def test_plain_and_streamed(claude: anthropic.Anthropic, records: Any, model: str, lane: str) -> None:
    raw = claude.messages.with_raw_response.create(model=model, max_tokens=50, messages=ask("Grüezi"))
    message = raw.parse()
    assert message.content[0].text == "Grüezi"  # type: ignore[union-attr]
    assert (message.model, message.stop_reason, message.role) == (model, "end_turn", "assistant")
    assert message.usage.output_tokens > 0
    assert raw.headers["request-id"] == message._request_id
    record = records.by_id(raw.headers["request-id"])
    assert (record.lane, record.dialect, record.usage.output) == (
        lane,
        "anthropic_messages",
        message.usage.output_tokens,
    )
    with claude.messages.stream(model=model, max_tokens=50, messages=ask("Grüezi")) as stream:
        assert "".join(stream.text_stream) == "Grüezi"
        final = stream.get_final_message()
    assert (final.model, final.usage.output_tokens) == (model, message.usage.output_tokens)
    assert records.by_id(stream.request_id).usage.output == message.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("scene", ["tools", "parallel", "toolonly"])
def test_tools_make_a_round_trip(claude: anthropic.Anthropic, scene: str, streamed: bool) -> None:
    request: Any = {"model": f"scripted.{scene}-v1:0", "max_tokens": 200, "tools": [WEATHER]}
    first = create(claude, streamed, messages=ask("Weather?"), **request)
    uses = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert uses
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
    history = [*ask("Weather?"), {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
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
def test_three_turns_with_thoughts_and_tools(claude: anthropic.Anthropic, scene: str, streamed: bool) -> None:
    history = ask("Think.")
    for turn in range(3):
        answer = create(
            claude, streamed, model=f"scripted.{scene}-v1:0", max_tokens=3000, messages=history,
            thinking={"type": "enabled", "budget_tokens": 2000},
        )  # fmt: skip
        kinds = [block.type for block in answer.content]
        assert kinds[0] in ("thinking", "redacted_thinking")
        history += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": f"Go on {turn}."}]


THOUGHT = {"type": "thinking", "thinking": "Zürich…", "signature": "EqQBCkgIBRABGAIqQP/+=="}
HIDDEN = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a=="}
TURNS: Any = [
    *ask("When?"),
    {
        "role": "assistant",
        "content": [THOUGHT, HIDDEN, {"type": "tool_use", "id": "toolu_1", "name": "clock", "input": {}}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}]},
    {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "Noon."}]},
    *ask("Sure?"),
]


@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    ],
)
def test_signatures_and_hidden_thoughts_arrive_byte_equal(model: str) -> None:
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
        assert (first[0], first[1], last[0]) == (THOUGHT, HIDDEN, THOUGHT)
    else:
        signed = {"reasoningText": {"text": THOUGHT["thinking"], "signature": THOUGHT["signature"]}}
        assert [first[0]["reasoningContent"], last[0]["reasoningContent"]] == [signed, signed]
        assert first[1]["reasoningContent"] == {"redactedContent": HIDDEN["data"]}


def test_counting(claude: anthropic.Anthropic, gateway_url: str) -> None:
    for model in (CLAUDE, ECHO):
        assert claude.messages.count_tokens(model=model, messages=ask("one two three")).input_tokens == 7
    raw = claude.messages.with_raw_response.count_tokens(
        model="us.anthropic.claude-sonnet-4-5-20250929-v1:0", messages=ask("one two three")
    )
    assert raw.headers["x-outcrop-estimated"] == "input_tokens"
    assert raw.parse().input_tokens > 0
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="scripted.nothing-v1:0", messages=ask())
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.count_tokens(model=ECHO, messages=[{"role": "wizard", "content": "x"}])  # type: ignore[typeddict-item]


def test_models(claude: anthropic.Anthropic, gateway_url: str) -> None:
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
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        claude.models.list(limit=0)
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
def test_errors(claude: anthropic.Anthropic, change: Any, kind: Any, words: str) -> None:
    request: Any = {"model": ECHO, "max_tokens": 5, "messages": ask(), **change}
    with pytest.raises(kind, match=words):
        claude.messages.create(**request)


@pytest.mark.parametrize("model", [ECHO, CLAUDE])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": 5}', b'{"messages": [{"role": "user", "content": "x"}]}']
)
def test_what_is_no_request(gateway_url: str, model: str, body: bytes) -> None:
    content = body.replace(b'{"messages"', b'{"model": "%s", "messages"' % model.encode())
    answer = httpx.post(f"{gateway_url}/v1/messages", content=content, headers={"x-api-key": KEY})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    if b"messages" in body:
        assert answer.json()["error"]["message"] == "max_tokens: Field required"


def test_a_wrong_key(gateway_url: str) -> None:
    with anthropic.Anthropic(base_url=gateway_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError, match="authentication_error"):
            client.messages.create(model=ECHO, max_tokens=5, messages=ask())
    with anthropic.Anthropic(base_url=gateway_url, auth_token=KEY, max_retries=0) as client:
        assert client.messages.create(model=ECHO, max_tokens=5, messages=ask("x")).content


@pytest.mark.parametrize("fault", ["cutframe", "exception", "reset"])
@pytest.mark.parametrize("model", ["scripted.long-v1:0", CLAUDE])
def test_a_stream_that_breaks_ends_in_an_error(claude: anthropic.Anthropic, model: str, fault: str) -> None:
    request: Any = {"model": f"{model}.{fault}", "max_tokens": 200, "messages": ask("a b c d e f g h")}
    with pytest.raises(anthropic.APIError), claude.messages.stream(**request) as stream:
        stream.get_final_message()


def test_what_is_ignored_and_repaired_is_told(claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        model=CLAUDE, max_tokens=5, messages=ask(), extra_body={"speed": "fast"},
        system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        extra_headers={"anthropic-beta": "claude-code-20250219,effort-2025-11-24"},
    )  # fmt: skip
    assert raw.headers["x-outcrop-ignored"] == "speed, anthropic-beta:claude-code-20250219"
    assert raw.headers["x-outcrop-repaired"] == "cache_ttl"


def test_the_bedrock_client_of_anthropic_works_as_it_is(gateway_url: str, records: Any) -> None:
    with anthropic.AnthropicBedrock(
        aws_access_key=KEY_NAME, aws_secret_key=KEY, aws_region="us-east-1", base_url=gateway_url, max_retries=0
    ) as client:
        assert client.messages.create(model=CLAUDE, max_tokens=5, messages=ask("hi")).content[0].text == "hi"  # type: ignore[union-attr]
        with client.messages.stream(model=CLAUDE, max_tokens=5, messages=ask("hi")) as stream:
            assert stream.get_final_text() == "hi"
    assert [record.lane for record in records.all[-2:]] == ["identity", "identity"]


async def test_the_asynchronous_client(gateway_url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway_url, api_key=KEY, max_retries=0) as client:
        async with client.messages.stream(model=ECHO, max_tokens=50, messages=ask("hello")) as stream:
            assert [text async for text in stream.text_stream] != []
