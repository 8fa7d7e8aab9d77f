"""OpenAI's APIs of the embedded Bedrock: forced tools, formats, shown reasoning, counts of the cache, members."""

from typing import Any

import httpx
import pytest

from app.wire import json
from tests.emulator import calls

GPT, GEMMA, OSS, GLM = "openai.gpt-5.5", "google.gemma-4-31b", "openai.gpt-oss-120b", "zai.glm-4.6"
pytestmark = pytest.mark.loopback
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def post(url: str, path: str, **body: Any) -> httpx.Response:
    return calls.post(url, path, body)


def respond(url: str, model: str, **body: Any) -> Any:
    path = "/v1/responses" if model == OSS else "/openai/v1/responses"
    answer = post(url, path, **{"model": model, "store": False, "input": "hi", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def chat(url: str, **body: Any) -> Any:
    messages = [{"role": "user", "content": "hi"}]
    answer = post(url, "/openai/v1/chat/completions", **{"model": GEMMA, "messages": messages, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def documents(answer: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def flat(name: str) -> Any:
    return {"type": "function", "name": name, "parameters": SCHEMA}


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("required", ["f"]),
        ({"type": "function", "name": "g"}, ["g"]),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}, ["g"]),
        ("none", []),
    ],
)
def test_responses_calls_the_tool_of_the_choice(url: str, choice: Any, called: list[str]) -> None:
    output = respond(url, GPT, tools=[flat("f"), flat("g")], tool_choice=choice)["output"]
    assert [item["name"] for item in output if item["type"] == "function_call"] == called
    # a forced model says nothing besides
    assert any(item["type"] == "message" for item in output) == (choice == "none")


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("required", ["f"]),
        ({"type": "function", "function": {"name": "g"}}, ["g"]),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}}, ["g"]),
        ("none", []),
    ],
)  # fmt: skip
def test_chat_calls_the_tool_of_the_choice(url: str, choice: Any, called: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in "fg"]
    message = chat(url, tools=tools, tool_choice=choice)["choices"][0]["message"]
    assert [call["function"]["name"] for call in message.get("tool_calls", ())] == called


def test_formats_are_followed(url: str) -> None:
    wanted = {"type": "json_schema", "name": "n", "schema": SCHEMA}
    (message,) = respond(url, GPT, text={"format": wanted})["output"]
    assert json.loads(message["content"][0]["text"]) == {"city": "sample"}
    completion = chat(url, response_format={"type": "json_schema", "json_schema": wanted})
    assert json.loads(completion["choices"][0]["message"]["content"]) == {"city": "sample"}


def test_gpt_oss_shows_its_reasoning(url: str) -> None:
    body = {"model": OSS, "input": "hi", "store": False, "stream": True}
    events = documents(post(url, "/v1/responses", **body))
    (reasoning, message) = events[-1]["response"]["output"]
    assert (reasoning["type"], reasoning["summary"], message["type"]) == ("reasoning", [], "message")
    (part,) = reasoning["content"]
    pieces = [event["delta"] for event in events if event["type"] == "response.reasoning_text.delta"]
    (done,) = [event["text"] for event in events if event["type"] == "response.reasoning_text.done"]
    assert "".join(pieces) == done == part["text"] != ""
    assert [item["type"] for item in respond(url, OSS)["output"]] == ["reasoning", "message"]


def test_a_repeated_prefix_is_read_from_the_cache_of_gpt(url: str) -> None:
    turns = [{"role": "user", "content": "long " * 1200}, {"role": "assistant", "content": "x"}]
    first = respond(url, GPT, input=turns[:1])["usage"]
    again = respond(url, GPT, input=[*turns, {"role": "user", "content": "more"}])["usage"]
    assert first["input_tokens_details"]["cached_tokens"] == 0
    assert again["input_tokens_details"]["cached_tokens"] == first["input_tokens"] >= 1024
    assert again["input_tokens"] > first["input_tokens"]
    assert respond(url, GPT, input="short")["usage"]["input_tokens_details"]["cached_tokens"] == 0
    assert respond(url, GPT, input="short")["usage"]["input_tokens_details"]["cached_tokens"] == 0


def test_members_that_openai_requires(url: str) -> None:
    message = chat(url)["choices"][0]["message"]
    assert message["refusal"] is None
    body = {"model": GEMMA, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    asked = post(url, "/openai/v1/chat/completions", **body, stream_options={"include_usage": True})
    *chunks, last = documents(asked)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["usage"]["total_tokens"] > 0
    assert all("usage" not in chunk for chunk in documents(post(url, "/openai/v1/chat/completions", **body)))
    stream = {"model": GPT, "input": "hi", "store": False, "stream": True, "tools": [flat("f")]}
    events = documents(post(url, "/openai/v1/responses", **stream))
    (done,) = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert done["name"] == "f"
    (part,) = [event["part"] for event in events if event["type"] == "response.content_part.done"]
    assert part["logprobs"] == []


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (GPT, "/v1/responses"),
        (GEMMA, "/v1/responses"),
        (OSS, "/openai/v1/responses"),
        (GLM, "/v1/responses"),
        ("zai.glm-4.7", "/v1/chat/completions"),
        ("novel.model", "/openai/v1/chat/completions"),
    ],
)
def test_models_are_refused_on_routes_that_do_not_serve_them(url: str, model: str, path: str) -> None:
    answer = post(url, path, model=model, input="hi", store=False, messages=[])
    assert answer.status_code == 400
