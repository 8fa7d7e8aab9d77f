"""A real language model in the embedded Bedrock: streaming, token counts, limits and cancellation."""

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from botocore.exceptions import ClientError
from pydantic import BaseModel

from app.emulator.auth import Authenticator
from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.llm import LlmMissing, LocalModel
from app.emulator.protocol import BreakableProtocol
from app.emulator.server import Emulator
from tests.end_to_end.conftest import boto_client
from tests.servers import KEY, gateway, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cores")]  # two of these at once compete for the cores

MODEL = "local.smollm2-135m-instruct-v1:0"
MESSAGES: Any = [{"role": "user", "content": "Count from 1 to 5."}]
CONVERSE: Any = [{"role": "user", "content": [{"text": "Count from 1 to 5."}]}]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    try:
        llm = LocalModel()
    except LlmMissing as missing:
        pytest.skip(f"the local language model does not fit this platform: {missing}")
    emulator = Emulator(Authenticator({ACCESS_KEY: SECRET_KEY}, frozenset({BEARER})), llm)
    with serving(emulator, http=BreakableProtocol) as url, gateway(url) as made:
        yield made


@pytest.fixture
def client(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_complete_and_streamed_responses_are_equal(client: openai.OpenAI) -> None:
    request: Any = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 40}
    complete = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == complete.choices[0].message.content
    )
    assert len(chunks) > 20
    assert "1" in (complete.choices[0].message.content or "")
    usage = chunks[-1].usage
    assert usage is not None
    assert complete.usage is not None
    assert usage.completion_tokens == complete.usage.completion_tokens <= 40
    assert usage.prompt_tokens == complete.usage.prompt_tokens > 20


def test_max_tokens_and_stop_sequences_end_the_response(client: openai.OpenAI) -> None:
    short = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3, temperature=0)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3)  # type: ignore[union-attr]
    stopped = client.chat.completions.create(model=MODEL, messages=MESSAGES, stop=["2"], temperature=0)
    assert "2" not in (stopped.choices[0].message.content or "")
    assert stopped.choices[0].finish_reason == "stop"


def test_count_tokens_equals_the_usage_of_converse(base: str) -> None:
    with boto_client(base) as client:
        counted = client.count_tokens(modelId=MODEL, input={"converse": {"messages": CONVERSE}})["inputTokens"]
        reply = client.converse(
            modelId=MODEL, messages=CONVERSE, inferenceConfig={"maxTokens": 1}, system=[{"text": "Be brief."}]
        )
        plain = client.converse(modelId=MODEL, messages=CONVERSE, inferenceConfig={"maxTokens": 1})
    assert plain["usage"]["inputTokens"] == counted
    assert reply["usage"]["inputTokens"] != counted
    assert plain["stopReason"] == "max_tokens"


def test_too_long_input_and_images_are_refused_with_a_status(base: str) -> None:
    long: Any = [{"role": "user", "content": [{"text": "word " * 6000}]}]
    image: Any = [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}]}]
    with boto_client(base) as client:
        for call in (client.converse, client.converse_stream):
            with pytest.raises(ClientError, match="Input is too long for requested model"):
                call(modelId=MODEL, messages=long)
            with pytest.raises(ClientError, match="doesn't support the image content block"):
                call(modelId=MODEL, messages=image)


def test_an_answer_without_a_limit_is_short_and_complete(client: openai.OpenAI) -> None:
    """Finding 9: pages of stars, for twelve seconds."""
    answer = client.responses.create(model=MODEL, input="Say hello")
    assert answer.status == "completed"
    assert answer.usage is not None
    assert 0 < answer.usage.output_tokens < 128
    assert answer.output_text.isascii()


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


PERSON: Any = [{"role": "user", "content": "Describe a person called Anna, who is 30 years old."}]


def test_schemas_of_answers_are_enforced_by_a_grammar(client: openai.OpenAI, base: str) -> None:
    """Finding 10: prose with status 200, and a ValidationError in the SDK."""
    parsed = client.chat.completions.parse(model=MODEL, messages=PERSON, response_format=Person)
    assert isinstance(parsed.choices[0].message.parsed, Person)
    assert isinstance(client.responses.parse(model=MODEL, input="Anna.", text_format=Person).output_parsed, Person)
    with client.chat.completions.stream(model=MODEL, messages=PERSON, response_format=Person) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "save_city"}}])
def test_a_required_tool_is_called_with_arguments_of_its_schema(client: openai.OpenAI, choice: Any) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": "save_person", "parameters": Person.model_json_schema()}},
        {"type": "function", "function": {"name": "save_city", "parameters": Person.model_json_schema()}},
    ]
    request: Any = {"model": MODEL, "messages": PERSON, "tools": tools}
    called = client.chat.completions.create(**request, tool_choice=choice).choices[0]
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls is not None
    call: Any = called.message.tool_calls[0]
    assert call.function.name in ({"save_person", "save_city"} if choice == "required" else {"save_city"})
    Person.model_validate_json(call.function.arguments)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "saved"}
    request["messages"] = [*PERSON, called.message.model_dump(exclude_none=True), result]
    # it calls no tool by itself
    assert client.chat.completions.create(**request).choices[0].message.content


def required(schema: Any) -> Any:
    tool = {"toolSpec": {"name": "save", "inputSchema": {"json": schema}}}
    return {"tools": [tool], "toolChoice": {"any": {}}}


@pytest.mark.parametrize("limit", [4, 12])
def test_a_required_call_that_is_cut_off_has_no_arguments(base: str, limit: int) -> None:
    with boto_client(base) as client:
        reply = client.converse(
            modelId=MODEL,
            messages=CONVERSE,
            toolConfig=required(Person.model_json_schema()),
            inferenceConfig={"maxTokens": limit},
        )
    assert reply["stopReason"] == "max_tokens"
    assert [block["toolUse"]["input"] for block in reply["output"]["message"]["content"]] == [{}]


@pytest.mark.parametrize("member", [{"$ref": "#/nope"}, {"type": "banana"}])
def test_a_schema_that_no_grammar_follows_from_is_the_caller_s_error(base: str, member: Any) -> None:
    schema = {"type": "object", "properties": {"city": member}, "required": ["city"]}
    with boto_client(base) as client, pytest.raises(ClientError, match="The schema is invalid: #/properties/city"):
        client.converse(modelId=MODEL, messages=CONVERSE, toolConfig=required(schema))


@pytest.mark.timed
def test_generation_stops_when_the_client_disconnects(client: openai.OpenAI) -> None:
    for _ in range(3):
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Tell me a very long story."}],
            max_tokens=2000,
            stream=True,
        )
        next(iter(stream))
        stream.close()
    started = time.monotonic()
    client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3)
    assert time.monotonic() - started < 5
