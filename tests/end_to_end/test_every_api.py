"""Models that Converse does not serve, called by every API with its own SDK: complete and streamed, in tool loops."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError

from app.wire import json
from scripts.reference import header
from tests.end_to_end.conftest import Records, boto_client
from tests.end_to_end.recording import RecordingBedrock
from tests.servers import KEY, emulator_app, gateway, http_reply, read_request, serving, upstream

GPT55, GEMMA, GLM = "openai.gpt-5.5", "google.gemma-4-31b", "zai.glm-4.6"
MODELS = (GPT55, GEMMA, GLM)
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = "What is the weather in Bern?"
SAID = "I will look that up."
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "apis.md"
FAMILIES = [
    ("Claude 5", "us.anthropic.claude-sonnet-5"),
    ("Claude 4", "us.anthropic.claude-sonnet-4-6"),
    ("Claude Mythos", "anthropic.claude-mythos-5"),
    ("Nova", "amazon.nova-pro-v1:0"),
    ("GPT-5.6 and later, by profile", "us.openai.gpt-5.6-sol"),
    ("GPT-5.6 and later", "openai.gpt-5.6-sol"),
    ("GPT-5.4 and 5.5, by profile", "us.openai.gpt-5.5"),
    ("GPT-5.4 and 5.5", "openai.gpt-5.5"),
    ("gpt-oss", "openai.gpt-oss-120b-1:0"),
    ("gpt-oss, by its id on mantle", "openai.gpt-oss-120b"),
    ("Gemma 4", "google.gemma-4-31b"),
    ("GLM 4.6", "zai.glm-4.6"),
    ("Llama 4", "us.meta.llama4-maverick-17b-instruct-v1:0"),
    ("Mistral", "us.mistral.pixtral-large-2502-v1:0"),
    ("Qwen 3", "qwen.qwen3-32b-v1:0"),
]
INTRODUCTION = """\
How each family of models answers each API. The table is measured with unmodified SDKs and the embedded Bedrock: a tool is
called and its result is sent back, with complete and with streamed responses, and both must succeed in the same way.

- A cell names the [mode](../glossary.md) and the surface of Bedrock that answers: `converse`, `invoke`, `openai` (the
  runtime) or `mantle`. `no` means that the call is refused.
- Converse stands for Converse and ConverseStream of AWS's SDKs.
- Where Converse passes through, the body stays the caller's: Llama and Mistral refuse its text beside a tool call.
- Without mantle in `NATIVE_SURFACES`, models that only mantle serves are refused.

"""
TURN: Any = {"role": "user", "content": [{"text": "hi"}]}


def by_chat(url: str, model: str, *, streamed: bool) -> str:
    """Ask, run the tool, ask again; return the last text."""
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    tools: Any = [{"type": "function", "function": {"name": "get.weather", "parameters": SCHEMA}}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        while True:
            if streamed:
                with client.chat.completions.stream(model=model, messages=messages, tools=tools) as stream:
                    answer: Any = stream.get_final_completion()
            else:
                answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
            message = answer.choices[0].message
            assert answer.model == model
            if answer.choices[0].finish_reason == "stop":
                return str(message.content)
            assert (answer.choices[0].finish_reason, message.content) == ("tool_calls", SAID)
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                assert (call.function.name, json.loads(call.function.arguments)) == ("get.weather", {"city": "sample"})
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})


def by_responses(url: str, model: str, *, streamed: bool) -> str:
    history: list[Any] = [{"role": "user", "content": QUESTION}]
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        while True:
            if streamed:
                with client.responses.stream(model=model, input=history, tools=tools, store=False) as stream:
                    answer: Any = stream.get_final_response()
            else:
                answer = client.responses.create(model=model, input=history, tools=tools, store=False)
            calls = [item for item in answer.output if item.type == "function_call"]
            assert (answer.model, answer.status) == (model, "completed")
            if not calls:
                return str(answer.output_text)
            history += [item.model_dump(exclude_none=True) for item in answer.output]
            history += [{"type": "function_call_output", "call_id": c.call_id, "output": "rain"} for c in calls]


def by_messages(url: str, model: str, *, streamed: bool) -> str:
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    given: Any = {"model": model, "max_tokens": 999, "tools": [{"name": "get_weather", "input_schema": SCHEMA}]}
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        while True:
            if streamed:
                with client.messages.stream(messages=messages, **given) as stream:
                    answer = stream.get_final_message()
            else:
                answer = client.messages.create(messages=messages, **given)
            text = "".join(block.text for block in answer.content if block.type == "text")
            if answer.stop_reason == "end_turn":
                return text
            assert (answer.stop_reason, text, answer.model) == ("tool_use", SAID, model)
            messages.append({"role": "assistant", "content": answer.content})
            uses = [block for block in answer.content if block.type == "tool_use"]
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": "rain"} for use in uses]
            messages.append({"role": "user", "content": results})


def by_converse(url: str, model: str, *, streamed: bool) -> str:
    messages: list[Any] = [{"role": "user", "content": [{"text": QUESTION}]}]
    tools = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]}
    with boto_client(url) as client:
        while True:
            given = {"modelId": model, "messages": messages, "toolConfig": tools}
            message, reason = _folded(client, given) if streamed else _whole(client, given)
            text = "".join(block.get("text", "") for block in message["content"])
            if reason == "end_turn":
                return text
            assert (reason, text) == ("tool_use", SAID)
            uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
            results = [{"toolResult": {"toolUseId": each["toolUseId"], "content": [{"text": "rain"}]}} for each in uses]
            messages += [message, {"role": "user", "content": results}]


def _whole(client: Any, given: Any) -> tuple[Any, str]:
    reply = client.converse(**given)
    assert reply["usage"]["totalTokens"] == reply["usage"]["inputTokens"] + reply["usage"]["outputTokens"] > 0
    return reply["output"]["message"], reply["stopReason"]


def _folded(client: Any, given: Any) -> tuple[Any, str]:
    blocks: dict[int, Any] = {}
    reason = ""
    for event in client.converse_stream(**given)["stream"]:
        match event:
            case {"contentBlockStart": {"start": {"toolUse": use}, "contentBlockIndex": index}}:
                blocks[index] = {"toolUse": {**use, "input": ""}}
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": index}}:
                blocks[index]["toolUse"]["input"] += piece
            case {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": index}}:
                blocks.setdefault(index, {"text": ""})["text"] += piece
            case {"contentBlockDelta": {"delta": {"reasoningContent": reasoning}, "contentBlockIndex": index}}:
                block = blocks.setdefault(index, {"reasoningContent": {}})["reasoningContent"]
                if "redactedContent" in reasoning:
                    block |= reasoning
                for name in reasoning.keys() - {"redactedContent"}:
                    shown = block.setdefault("reasoningText", {})
                    shown[name] = shown.get(name, "") + reasoning[name]
            case {"messageStop": {"stopReason": reason}}:
                pass
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {"role": "assistant", "content": [block for _, block in sorted(blocks.items())]}, reason


APIS: dict[str, Callable[..., str]] = {
    "Chat Completions": by_chat,
    "Responses": by_responses,
    "Messages": by_messages,
    "Converse": by_converse,
}


@pytest.mark.parametrize("streamed", [False, True], ids=["complete", "streamed"])
@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize("model", MODELS)
def test_a_tool_loop_by_every_api(
    url: str, recorder: RecordingBedrock, model: str, api: Callable[..., str], *, streamed: bool
) -> None:
    recorder.requests.clear()
    assert api(url, model, streamed=streamed) == "The tools said: rain"
    assert [each.service for each in recorder.requests] == ["bedrock-mantle"] * 2
    assert [bool(each.body.get("stream")) for each in recorder.requests] == [streamed] * 2
    assert all(each.body.get("store") in (None, False) for each in recorder.requests)


def row_of(url: str, records: Records, name: str, model: str) -> str:
    """Return the row of a model: how a loop with a tool crosses by each API, complete and streamed alike."""
    cells = []
    for api in APIS.values():
        ways = set()
        for streamed in (False, True):
            records.all.clear()
            try:
                assert api(url, model, streamed=streamed) == "The tools said: rain"
            except (openai.APIStatusError, anthropic.APIStatusError, ClientError):
                ways.add("no")
                continue
            # the record of a stream may arrive after its last byte
            wait_until(lambda: sum(record.status == 200 for record in records.all) >= 2)
            ways |= {f"{record.mode}: {record.surface}" for record in records.all if record.status == 200}
        (way,) = ways
        cells.append(way)
    return f"| {name} | `{model}` | {' | '.join(cells)} |"


def wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert is_done()


@pytest.fixture(scope="module")
def observed() -> Iterator[tuple[str, Records]]:
    with observed_gateway() as both:
        yield both


@contextlib.contextmanager
def observed_gateway() -> Iterator[tuple[str, Records]]:
    records = Records()
    with serving(emulator_app()) as bedrock, gateway(bedrock, records, retry_budget=10) as url:
        yield url, records


@pytest.mark.parametrize(("name", "model"), FAMILIES)
def test_the_page_says_how_each_family_crosses(observed: tuple[str, Records], name: str, model: str) -> None:
    row = row_of(*observed, name, model)
    assert row in PAGE.read_text().splitlines(), "run: python -m scripts.reference apis"


def test_the_page_has_a_row_for_each_family() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(FAMILIES)


def page() -> str:
    """Measure and return docs/reference/apis.md."""
    head = ["| family | model | " + " | ".join(APIS) + " |", "|---|---|" + "---|" * len(APIS)]
    with observed_gateway() as (url, records):
        rows = [row_of(url, records, name, model) for name, model in FAMILIES]
    return header("Models by API") + INTRODUCTION + "\n".join([*head, *rows]) + "\n"


def test_encrypted_reasoning_crosses_messages_and_converse(url: str, recorder: RecordingBedrock) -> None:
    recorder.requests.clear()
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        given: Any = {"model": GPT55, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
        first = client.messages.create(messages=[{"role": "user", "content": "hi"}], **given)
        assert [block.type for block in first.content] == ["redacted_thinking", "text"]
        history: Any = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "again"},
        ]
        with client.messages.stream(messages=history, **given) as stream:
            second = stream.get_final_message()
    assert [block.type for block in second.content] == ["redacted_thinking", "text"]
    # the embedded Bedrock has verified that it is what it had returned
    (sent,) = [item for item in recorder.requests[-1].body["input"] if item.get("type") == "reasoning"]
    assert (sent["id"][:3], sent["encrypted_content"][:4]) == ("rs_", "rsn_")
    assert recorder.requests[0].body["reasoning"] == {"effort": "low"}
    with boto_client(url) as runtime:
        reply = runtime.converse(modelId=GPT55, messages=[TURN], outputConfig={"effort": "high"})
        message = reply["output"]["message"]
        assert message["content"][0]["reasoningContent"]["redactedContent"].startswith(b"oai1.")
        runtime.converse(modelId=GPT55, messages=[TURN, message, TURN])
    assert any(item.get("type") == "reasoning" for item in recorder.requests[-1].body["input"])


@pytest.mark.parametrize("streamed", [False, True], ids=["complete", "streamed"])
def test_an_image_and_a_schema(url: str, recorder: RecordingBedrock, *, streamed: bool) -> None:
    recorder.requests.clear()
    schema = {**SCHEMA, "additionalProperties": False}
    png = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": png}}]
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        answer: Any = client.chat.completions.create(
            model=GPT55,
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
            response_format=wanted,
            stream=streamed,
        )
        chunks = answer if streamed else []
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        text = text if streamed else answer.choices[0].message.content
    assert json.loads(text) == {"city": "sample"}
    (sent,) = recorder.requests
    assert sent.body["input"][0]["content"][1] == {"type": "input_image", "image_url": png}
    assert sent.body["text"]["format"] == {"type": "json_schema", "name": "city", "schema": schema, "strict": True}


def test_what_a_converse_caller_gets_refused_names_its_field(url: str) -> None:
    video: Any = {"role": "user", "content": [{"video": {"format": "mp4", "source": {"bytes": b"x"}}}]}
    with boto_client(url) as runtime:
        for given, where in (
            ({"messages": [video]}, "messages[0].content[0].video: "),
            ({"messages": [TURN], "inferenceConfig": {"stopSequences": ["x"]}}, "inferenceConfig.stopSequences: "),
            ({"messages": [TURN], "promptVariables": {"a": {"text": "b"}}}, "promptVariables: "),
        ):
            with pytest.raises(runtime.exceptions.ValidationException) as caught:
                runtime.converse(modelId=GPT55, **given)
            assert caught.value.response["Error"]["Message"].startswith(where)
        answer = runtime.converse(modelId=GEMMA, messages=[TURN], performanceConfig={"latency": "optimized"})
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-outcrop-ignored"] == "performanceConfig"


@pytest.mark.parametrize(
    ("fault", "name", "status"),
    [
        ("throttle", "ThrottlingException", 429),
        ("unavailable", "ServiceUnavailableException", 503),
        ("garbage", "ServiceUnavailableException", 502),
    ],
)
def test_faults_reach_a_converse_caller_as_its_exceptions(url: str, fault: str, name: str, status: int) -> None:
    with boto_client(url) as runtime, pytest.raises(ClientError) as caught:
        runtime.converse(modelId=f"openai.gpt-5.5:0.{fault}-9", messages=[TURN])
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (name, status)


def _sse(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document) + b"\n\n" for document in documents)


@pytest.mark.parametrize(
    ("documents", "code"),
    [
        (
            [
                {
                    "type": "response.failed",
                    "response": {"status": "failed", "error": {"code": "server_error", "message": "m"}},
                }
            ],
            "internalServerException",
        ),
        ([], "serviceUnavailableException"),
    ],
)
def test_a_stream_that_fails_ends_with_an_exception(documents: list[Any], code: str) -> None:
    begun = [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"},
    ]
    reply = http_reply(_sse(*begun, *documents), content_type="text/event-stream", extra="connection: close\r\n")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()

    with upstream(handle) as bedrock, gateway(bedrock) as url, boto_client(url) as runtime:
        stream = runtime.converse_stream(modelId=GPT55, messages=[TURN])["stream"]
        with contextlib.closing(stream), pytest.raises(EventStreamError, match=code):
            list(stream)


def test_a_response_that_fails_before_its_first_item_has_its_status() -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded"}}}
    reply = http_reply(
        _sse({"type": "response.created", "response": {}}, failed),
        content_type="text/event-stream",
        extra="connection: close\r\n",
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()

    with upstream(handle) as bedrock, gateway(bedrock, bedrock_max_attempts=1) as url, boto_client(url) as runtime:
        with pytest.raises(ClientError) as caught:
            runtime.converse_stream(modelId=GPT55, messages=[TURN])
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
