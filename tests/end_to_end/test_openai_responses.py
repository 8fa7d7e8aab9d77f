"""The Responses API with OpenAI's SDK."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.servers import KEY, gateway

ECHO, THINKING, UNCOUNTED = "scripted.echo-v1:0", "scripted.thinking-v1:0", "amazon.nova-pro-v1:0"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: Any = {"type": "namespace", "name": "clock", "tools": [{"type": "function", "name": "now", "strict": False}]}


def test_complete_and_streamed_responses_are_equal(client: openai.OpenAI) -> None:
    complete = client.responses.create(model=ECHO, input="Grüezi \N{SNOWMAN}")
    with client.responses.stream(model=ECHO, input="Grüezi \N{SNOWMAN}") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert complete.output_text == final.output_text == "Grüezi \N{SNOWMAN}"
    assert complete.usage == final.usage
    assert complete.usage is not None
    assert complete.usage.total_tokens > 0
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


@pytest.mark.parametrize("streamed", [False, True])
def test_conversation_continues_from_a_stored_response(client: openai.OpenAI, streamed: bool) -> None:
    question: Any = {"model": THINKING, "input": "Weather?", "tools": [WEATHER]}
    if streamed:
        with client.responses.stream(**question) as stream:
            first: Any = stream.get_final_response()
    else:
        first = client.responses.create(**question)
    (call,) = [item for item in first.output if item.type == "function_call"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = client.responses.create(
        model=THINKING, previous_response_id=first.id, input=[result], tools=[WEATHER], metadata={"turn": "2"}
    )
    assert second.previous_response_id == first.id
    assert "rain" in second.output_text
    third = client.responses.create(model=ECHO, previous_response_id=second.id, input="and now")
    assert third.output_text == "and now"
    assert client.responses.retrieve(second.id).output_text == second.output_text


def test_tool_output_is_paired_with_its_call_across_messages(client: openai.OpenAI) -> None:
    nova = "us.amazon.nova-2-lite-v1:0"
    call: Any = {"type": "function_call", "call_id": "c", "name": "get_weather", "arguments": "{}"}
    between: Any = [{"role": "user", "content": "hurry"}, {"role": "assistant", "content": "One moment."}]
    output: Any = {"type": "function_call_output", "call_id": "c", "output": "sunny"}
    history: Any = [{"role": "user", "content": "Weather?"}, call, *between, output]
    raw = client.responses.with_raw_response.create(model=nova, input=history, tools=[WEATHER])
    assert raw.parse().status == "completed"
    assert raw.headers["x-outcrop-adjusted"] == "tool_results"


@pytest.mark.parametrize("streamed", [False, True])
def test_response_of_several_texts_is_one_message(client: openai.OpenAI, streamed: bool) -> None:
    question: Any = {"model": "scripted.citations-v1:0", "input": "x"}
    if streamed:
        with client.responses.stream(**question) as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(**question)
    (message,) = answer.output
    (part,) = message.content
    assert part.text == answer.output_text
    cited = [part.text[each.start_index : each.end_index] for each in part.annotations]
    assert cited == ["so is that."]


@pytest.mark.parametrize("streamed", [False, True])
def test_encrypted_reasoning_is_accepted_unchanged_and_ignored_if_tampered_with(
    client: openai.OpenAI, records: Any, streamed: bool
) -> None:
    options: Any = {
        "model": THINKING,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [WEATHER, CLOCK, {"type": "web_search"}],
        "tool_choice": "auto",
        "reasoning": {"summary": "auto"},
    }
    history: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    if streamed:
        with client.responses.stream(input=history, **options) as stream:
            first: Any = stream.get_final_response()
    else:
        first = client.responses.create(input=history, **options)
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call"]
    signed = first.output[0].encrypted_content
    assert signed
    history += [item.to_dict() for item in first.output]
    for item in history:
        item.pop("parsed_arguments", None)
        for part in item["content"] if isinstance(item.get("content"), list) else ():
            part.pop("parsed", None)
    history.append({"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "rain"})
    answer = client.responses.with_raw_response.create(input=history, **options)
    assert answer.headers["x-outcrop-ignored"] == "input[].id, tools[2]"
    assert "rain" in answer.parse().output_text
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    history[2]["encrypted_content"] = signed[:-8] + "AAAAAAA="
    tampered = client.responses.with_raw_response.create(input=history, **options)
    assert "input[2].encrypted_content" in tampered.headers["x-outcrop-ignored"]


def test_parallel_calls_have_their_namespaces(client: openai.OpenAI) -> None:
    response = client.responses.create(model="scripted.parallel-v1:0", input="Both?", tools=[WEATHER, CLOCK])
    calls: list[Any] = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, call.to_dict().get("namespace")) for call in calls] == [("get_weather", None), ("now", "clock")]


def test_custom_tool_is_called(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "custom", "name": "get_weather"}]
    with client.responses.stream(model="scripted.toolonly-v1:0", input="x", tools=tools) as stream:
        kinds = [event.type for event in stream]
        (call,) = stream.get_final_response().output
    assert call.type == "custom_tool_call"
    assert call.name == "get_weather"
    assert "response.custom_tool_call_input.done" in kinds


def test_max_output_tokens_makes_the_response_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="scripted.long-v1:0", input="x", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_is_parsed(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="scripted.structured-v1:0", input="A person", text_format=Person)
    assert response.output_parsed == Person(name="sample", age=7)


def test_broken_stream_ends_with_response_failed(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="scripted.long-v1:0.cut-3", input="x", stream=True)
    events: list[Any] = list(stream)
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"


def test_unsupported_and_unknown_values_raise_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ECHO, input="x", conversation="conv_1")
    assert caught.value.param == "conversation"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ECHO, input="x", previous_response_id="resp_none")
    assert (caught.value.param, caught.value.code) == ("previous_response_id", "previous_response_not_found")
    with pytest.raises(openai.NotFoundError):
        client.responses.delete("resp_none")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="no.such-model", input="x")


def test_deleted_response_is_not_found(client: openai.OpenAI) -> None:
    response = client.responses.create(model=ECHO, input="x")
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_stored_responses_are_shared_by_gateways_but_not_by_callers(emulator_url: str, tmp_path: Path) -> None:
    shared: Any = {
        "api_keys": f"a={KEY},b=other-key-of-24-letters",
        "responses_store": f"sqlite:///{tmp_path}/responses.db",
    }
    with (
        gateway(emulator_url, **shared) as one,
        gateway(emulator_url, **shared) as other,
        openai.OpenAI(base_url=f"{one}/v1", api_key=KEY, max_retries=0) as mine,
    ):
        elsewhere = mine.with_options(base_url=f"{other}/v1")
        theirs = elsewhere.with_options(api_key="other-key-of-24-letters")
        first = mine.responses.create(model=THINKING, input="Weather?")
        assert elsewhere.responses.retrieve(first.id) == mine.responses.retrieve(first.id)
        next_request: Any = {"model": THINKING, "input": "x", "previous_response_id": first.id}
        answer = elsewhere.responses.with_raw_response.create(**next_request)
        assert "encrypted_content" not in answer.headers.get("x-outcrop-ignored", "")
        for attempt in (
            lambda: theirs.responses.retrieve(first.id),
            lambda: theirs.responses.delete(first.id),
            lambda: theirs.responses.create(**next_request),
        ):
            with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
                attempt()
        elsewhere.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            mine.responses.retrieve(first.id)


@pytest.mark.parametrize("streamed", [False, True])
def test_response_that_cannot_be_stored_has_store_false(emulator_url: str, tmp_path: Path, streamed: bool) -> None:
    path = tmp_path / "responses.db"
    with (
        gateway(emulator_url, responses_store=f"sqlite:///{path}") as base,
        openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client,
    ):
        stored = client.responses.create(model=ECHO, input="hello")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("begin exclusive")
            if streamed:
                with client.responses.stream(model=ECHO, input="hello") as stream:
                    answer: Any = stream.get_final_response()
            else:
                answer = client.responses.create(model=ECHO, input="hello")
            assert (answer.output_text, answer.to_dict()["store"]) == ("hello", False)
            with pytest.raises(openai.InternalServerError) as caught:
                client.responses.delete(stored.id)
            assert caught.value.status_code == 503
        assert client.responses.retrieve(stored.id).to_dict()["store"] is True


@pytest.mark.parametrize("reference", [{"type": "item_reference"}, {}])
def test_items_of_stored_responses_can_be_referenced(client: openai.OpenAI, reference: dict[str, str]) -> None:
    first: Any = client.responses.create(model=THINKING, input="Weather?", tools=[WEATHER])
    reasoning, message, call = first.output
    history: Any = [
        {"role": "user", "content": "Weather?"},
        {**reference, "id": reasoning.id},
        {**reference, "id": message.id},
        {**reference, "id": call.id},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    second = client.responses.create(model=THINKING, input=history, tools=[WEATHER])
    assert "rain" in second.output_text
    third = client.responses.create(model=ECHO, previous_response_id=second.id, input="and now")
    assert third.output_text == "and now"
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=THINKING, input=history, tools=[WEATHER])
    assert caught.value.param == "input[1]"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.output[0].id)  # type: ignore[arg-type]


def test_input_items_of_a_response_are_listed_in_pages(client: openai.OpenAI) -> None:
    first: Any = client.responses.create(model=THINKING, input="Weather?", tools=[WEATHER])
    call = first.output[-1]
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = client.responses.create(model=THINKING, input=result, previous_response_id=first.id, tools=[WEATHER])
    listed = list(client.responses.input_items.list(second.id))
    assert [item.type for item in listed] == [
        "function_call_output",
        "function_call",
        "message",
        "reasoning",
        "message",
    ]
    assert listed[-1].content[0].text == "Weather?"  # type: ignore[union-attr]
    assert not any(item.to_dict().get("encrypted_content") for item in listed)
    pages = client.responses.input_items.list(second.id, order="asc", limit=2)
    assert [item.id for item in pages] == [item.id for item in listed][::-1]
    assert (len(pages.data), pages.has_more) == (2, True)
    next_page = client.responses.input_items.list(second.id, after=str(listed[-2].id))
    assert [item.id for item in next_page.data] == [listed[-1].id]
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": int("9" * 500)}, {"order": "random"}, {"after": "unknown"}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_items.list(second.id, **wrong)  # type: ignore[arg-type]
        assert caught.value.param == next(iter(wrong))
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list("resp_none")


def test_input_tokens_are_counted_or_estimated(client: openai.OpenAI) -> None:
    counts = client.responses.input_tokens.with_raw_response
    short = counts.count(model=ECHO, input="hello")
    assert "x-outcrop-estimated" not in short.headers
    answer = short.parse()
    assert (answer.object, answer.input_tokens > 0) == ("response.input_tokens", True)
    long = counts.count(model=ECHO, input="hello " * 100, instructions="Be brief.", tools=[WEATHER]).parse()
    assert long.input_tokens > answer.input_tokens
    stored = client.responses.create(model=ECHO, input="x " * 500)
    estimated = counts.count(model=UNCOUNTED, input="and now", previous_response_id=stored.id)
    assert estimated.headers["x-outcrop-estimated"] == "input_tokens"
    assert estimated.parse().input_tokens > 200
    picture: Any = [
        {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{'A' * 90000}"}]}
    ]
    assert 1600 <= counts.count(model=UNCOUNTED, input=picture).parse().input_tokens < 2000


@pytest.mark.parametrize("model", ["openai.gpt-5.5", "google.gemma-4-31b", "openai.gpt-5.6-sol"])
def test_input_tokens_of_native_models_are_estimated(client: openai.OpenAI, model: str) -> None:
    counts = client.responses.input_tokens.with_raw_response
    picture: Any = [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1", "detail": "auto"}]}]
    for content in ("word " * 400, picture):
        client.responses.create(model=model, input=content, store=False)
        estimated = counts.count(model=model, input=content)
        assert estimated.headers["x-outcrop-estimated"] == "input_tokens"
        assert estimated.parse().input_tokens > (400 if isinstance(content, str) else 0)


def test_wrong_method_returns_the_allowed_methods(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="this path takes DELETE, GET, HEAD") as caught:
        client.post("/responses/resp_none", cast_to=object, body={"model": ECHO})
    assert caught.value.response.headers["allow"] == "DELETE, GET, HEAD"


def test_referenced_items_count_against_the_body_limit(emulator_url: str) -> None:
    with (
        gateway(emulator_url, max_body_bytes=10_000) as base,
        openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client,
    ):
        stored = client.responses.create(model=ECHO, input="x" * 4000)
        (message,) = stored.output
        items: Any = [{"role": "user", "content": "hello"}, {"type": "item_reference", "id": message.id}]
        assert client.responses.create(model=ECHO, input=[*items, *items[:1]]).output_text
        with pytest.raises(openai.APIStatusError, match="more than 10000 bytes") as caught:
            client.responses.create(model=ECHO, input=items * 3)
        assert caught.value.status_code == 413


def test_stored_response_cannot_be_streamed(client: openai.OpenAI) -> None:
    response = client.responses.create(model=ECHO, input="x")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.retrieve(response.id, stream=True)
    assert caught.value.param == "stream"


def test_response_too_large_to_store_has_store_false(client: openai.OpenAI) -> None:
    text = "x" * 8_000_001
    response = client.responses.create(model=ECHO, input=text)
    assert response.output_text.startswith("xxx")
    assert response.to_dict()["store"] is False


def test_conversation_is_compacted_for_its_caller(emulator_url: str) -> None:
    keys = f"ada={KEY},eve={KEY[::-1]}"
    with gateway(emulator_url, api_keys=keys, seal_secret="of-the-deployment-16") as url:
        ada = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        eve = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY[::-1], max_retries=0)
        with ada, eve:
            first = ada.responses.create(model=ECHO, input="I like blue.")
            raw = ada.responses.with_raw_response.compact(model=ECHO, previous_response_id=first.id, input="And green.")
            assert [item.type for item in raw.parse().output] == ["message", "message", "compaction"]
            assert raw.parse().usage.total_tokens > 0
            items: Any = raw.http_response.json()["output"]
            question: Any = [*items, {"role": "user", "content": "What do I like?"}]
            counted = ada.responses.input_tokens.count(model=ECHO, input=question)
            assert counted.input_tokens > 50  # the summary is part of it
            answer = ada.responses.with_raw_response.create(model=ECHO, input=question)
            assert answer.headers["x-outcrop-ignored"] == "input[].id"
            with pytest.raises(openai.BadRequestError) as caught:
                eve.responses.create(model=ECHO, input=question)
            assert caught.value.param == "input[2].encrypted_content"


def ended(client: openai.OpenAI, response_id: str) -> Any:
    """Return a response in the background at its end."""
    deadline = time.monotonic() + 30
    while (response := client.responses.retrieve(response_id)).status == "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


def test_response_runs_in_the_background(client: openai.OpenAI, records: Any) -> None:
    before = len(records.all)
    begun = client.responses.create(model=THINKING, input="Weather?", tools=[WEATHER], background=True)
    assert (begun.status, begun.background, begun.output) == ("in_progress", True, [])
    response = ended(client, begun.id)
    assert (response.id, response.status, response.background) == (begun.id, "completed", True)
    (call,) = [item for item in response.output if item.type == "function_call"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    more = client.responses.create(model=THINKING, previous_response_id=begun.id, input=[result], tools=[WEATHER])
    assert "rain" in more.output_text
    deadline = time.monotonic() + 30
    while len(of_it := [each for each in records.all[before:] if each.tries]) < 2:  # the last may arrive later
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {(record.method, record.route, record.caller) for record in of_it} == {("POST", "/v1/responses", "tests")}
    with pytest.raises(openai.NotFoundError):  # it is stored once
        client.responses.retrieve("resp_none")


def test_failure_in_the_background_is_in_the_response(client: openai.OpenAI) -> None:
    begun = client.responses.create(model=f"{ECHO}.denied", input="x", background=True)
    response = ended(client, begun.id)
    assert (response.status, response.error.code) == ("failed", "server_error")
    assert "access" in response.error.message


def test_response_in_the_background_is_cancelled(client: openai.OpenAI, records: Any) -> None:
    begun = client.responses.create(model=f"{ECHO}.never", input="x", background=True)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ECHO, input="y", previous_response_id=begun.id)
    assert caught.value.param == "previous_response_id"
    before = len(records.all)
    assert client.responses.cancel(begun.id).status == "cancelled"
    deadline = time.monotonic() + 30
    while not [record for record in records.all[before:] if record.error == "caller_gone"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.responses.retrieve(begun.id).status == "cancelled"
    assert client.responses.cancel(begun.id).status == "cancelled"


def test_what_cannot_run_in_the_background_is_refused(client: openai.OpenAI) -> None:
    for changes, param in (({"store": False}, "store"), ({"stream": True}, "stream"), ({"input": 5}, "input")):
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/responses", cast_to=object, body={"model": ECHO, "input": "x", "background": True, **changes})
        assert caught.value.param == param
    foreground = client.responses.create(model=ECHO, input='"background": true', background=False)
    assert (foreground.status, foreground.background) == ("completed", False)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.cancel(foreground.id)
    assert caught.value.param == "response_id"
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_none")


def test_end_of_the_gateway_ends_responses_in_the_background(emulator_url: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'responses.db'}"
    with gateway(emulator_url, responses_store=store) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as one:
        begun = one.responses.create(model=f"{ECHO}.never", input="x", background=True)
    with gateway(emulator_url, responses_store=store) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as other:
        response: Any = other.responses.retrieve(begun.id)
    assert (response.status, response.error.code) == ("failed", "overloaded")
