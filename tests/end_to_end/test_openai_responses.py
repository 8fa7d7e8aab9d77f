"""An unmodified OpenAI client and its Responses API against a running gateway."""

import sqlite3
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


def test_plain_and_streamed(client: openai.OpenAI) -> None:
    whole = client.responses.create(model=ECHO, input="Grüezi \N{SNOWMAN}")
    with client.responses.stream(model=ECHO, input="Grüezi \N{SNOWMAN}") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert whole.output_text == final.output_text == "Grüezi \N{SNOWMAN}"
    assert whole.usage == final.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


@pytest.mark.parametrize("streamed", [False, True])
def test_the_conversation_goes_on_from_what_is_kept(client: openai.OpenAI, streamed: bool) -> None:
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


def test_an_output_is_paired_with_its_call_wherever_it_stands(client: openai.OpenAI) -> None:
    nova = "us.amazon.nova-2-lite-v1:0"
    call: Any = {"type": "function_call", "call_id": "c", "name": "get_weather", "arguments": "{}"}
    between: Any = [{"role": "user", "content": "hurry"}, {"role": "assistant", "content": "One moment."}]
    output: Any = {"type": "function_call_output", "call_id": "c", "output": "sunny"}
    history: Any = [{"role": "user", "content": "Weather?"}, call, *between, output]
    raw = client.responses.with_raw_response.create(model=nova, input=history, tools=[WEATHER])
    assert raw.parse().status == "completed"
    assert raw.headers["x-outcrop-adjusted"] == "tool_results"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_of_several_texts_is_one_message(client: openai.OpenAI, streamed: bool) -> None:
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
def test_a_stateless_caller_carries_the_reasoning(client: openai.OpenAI, records: Any, streamed: bool) -> None:
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
    assert answer.headers["x-outcrop-ignored"] == "tools[2]"
    assert "rain" in answer.parse().output_text
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    history[2]["encrypted_content"] = signed[:-8] + "AAAAAAA="
    tampered = client.responses.with_raw_response.create(input=history, **options)
    assert "input[2].encrypted_content" in tampered.headers["x-outcrop-ignored"]


def test_namespaces_and_parallel_calls(client: openai.OpenAI) -> None:
    response = client.responses.create(model="scripted.parallel-v1:0", input="Both?", tools=[WEATHER, CLOCK])
    calls: list[Any] = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, call.to_dict().get("namespace")) for call in calls] == [("get_weather", None), ("now", "clock")]


def test_custom_tools(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "custom", "name": "get_weather"}]
    with client.responses.stream(model="scripted.toolonly-v1:0", input="x", tools=tools) as stream:
        kinds = [event.type for event in stream]
        (call,) = stream.get_final_response().output
    assert call.type == "custom_tool_call"
    assert call.name == "get_weather"
    assert "response.custom_tool_call_input.done" in kinds


def test_limits_make_an_answer_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="scripted.long-v1:0", input="x", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


class Person(BaseModel):
    name: str
    age: int


def test_parse(client: openai.OpenAI) -> None:
    response = client.responses.parse(model="scripted.structured-v1:0", input="A person", text_format=Person)
    assert response.output_parsed == Person(name="sample", age=7)


def test_what_breaks_in_the_middle_is_told(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="scripted.long-v1:0.cut-3", input="x", stream=True)
    events: list[Any] = list(stream)
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"


def test_refusals(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ECHO, input="x", background=True)
    assert caught.value.param == "background"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=ECHO, input="x", previous_response_id="resp_none")
    assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError):
        client.responses.delete("resp_none")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="no.such-model", input="x")


def test_a_deleted_answer_is_gone(client: openai.OpenAI) -> None:
    response = client.responses.create(model=ECHO, input="x")
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_another_caller_finds_nothing_and_another_process_what_it_shares(emulator_url: str, tmp_path: Path) -> None:
    shared: Any = {"api_keys": f"a={KEY},b=other-key", "responses_store": f"sqlite:///{tmp_path}/responses.db"}
    with gateway(emulator_url, **shared) as one, gateway(emulator_url, **shared) as other:
        mine = openai.OpenAI(base_url=f"{one}/v1", api_key=KEY, max_retries=0)
        elsewhere = mine.with_options(base_url=f"{other}/v1")
        theirs = elsewhere.with_options(api_key="other-key")
        first = mine.responses.create(model=THINKING, input="Weather?")
        assert elsewhere.responses.retrieve(first.id) == mine.responses.retrieve(first.id)
        go_on: Any = {"model": THINKING, "input": "x", "previous_response_id": first.id}
        answer = elsewhere.responses.with_raw_response.create(**go_on)
        assert "encrypted_content" not in answer.headers.get("x-outcrop-ignored", "")
        for attempt in (
            lambda: theirs.responses.retrieve(first.id),
            lambda: theirs.responses.delete(first.id),
            lambda: theirs.responses.create(**go_on),
        ):
            with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
                attempt()
        elsewhere.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            mine.responses.retrieve(first.id)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_cannot_be_kept_is_given_all_the_same(emulator_url: str, tmp_path: Path, streamed: bool) -> None:
    path = tmp_path / "responses.db"
    with gateway(emulator_url, responses_store=f"sqlite:///{path}") as base:
        client = openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0)
        kept = client.responses.create(model=ECHO, input="hello")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("begin exclusive")
            if streamed:
                with client.responses.stream(model=ECHO, input="hello") as stream:
                    answer: Any = stream.get_final_response()
            else:
                answer = client.responses.create(model=ECHO, input="hello")
            assert (answer.output_text, answer.to_dict()["store"]) == ("hello", False)
            with pytest.raises(openai.InternalServerError) as caught:
                client.responses.delete(kept.id)
            assert caught.value.status_code == 503
        assert client.responses.retrieve(kept.id).to_dict()["store"] is True


@pytest.mark.parametrize("reference", [{"type": "item_reference"}, {}])
def test_items_of_kept_answers_may_be_referred_to(client: openai.OpenAI, reference: dict[str, str]) -> None:
    first: Any = client.responses.create(model=THINKING, input="Weather?", tools=[WEATHER])
    reasoning, said, call = first.output
    history: Any = [
        {"role": "user", "content": "Weather?"},
        {**reference, "id": reasoning.id},
        {**reference, "id": said.id},
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


def test_the_items_that_led_to_an_answer_are_listed(client: openai.OpenAI) -> None:
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
    behind = client.responses.input_items.list(second.id, after=str(listed[-2].id))
    assert [item.id for item in behind.data] == [listed[-1].id]
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": int("9" * 500)}, {"order": "random"}, {"after": "nobody"}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_items.list(second.id, **wrong)  # type: ignore[arg-type]
        assert caught.value.param == next(iter(wrong))
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list("resp_none")


def test_the_tokens_of_a_request_are_counted_or_estimated(client: openai.OpenAI) -> None:
    counts = client.responses.input_tokens.with_raw_response
    short = counts.count(model=ECHO, input="hello")
    assert "x-outcrop-estimated" not in short.headers
    answer = short.parse()
    assert (answer.object, answer.input_tokens > 0) == ("response.input_tokens", True)
    long = counts.count(model=ECHO, input="hello " * 100, instructions="Be brief.", tools=[WEATHER]).parse()
    assert long.input_tokens > answer.input_tokens
    kept = client.responses.create(model=ECHO, input="x " * 500)
    estimated = counts.count(model=UNCOUNTED, input="and now", previous_response_id=kept.id)
    assert estimated.headers["x-outcrop-estimated"] == "input_tokens"
    assert estimated.parse().input_tokens > 200
    picture: Any = [
        {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{'A' * 90000}"}]}
    ]
    assert 1600 <= counts.count(model=UNCOUNTED, input=picture).parse().input_tokens < 2000


@pytest.mark.parametrize("model", ["openai.gpt-5.5", "google.gemma-4-31b", "openai.gpt-5.6-sol"])
def test_what_crosses_the_native_mode_is_estimated_whatever_it_holds(client: openai.OpenAI, model: str) -> None:
    counts = client.responses.input_tokens.with_raw_response
    picture: Any = [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1", "detail": "auto"}]}]
    for said in ("word " * 400, picture):
        client.responses.create(model=model, input=said, store=False)
        estimated = counts.count(model=model, input=said)
        assert estimated.headers["x-outcrop-estimated"] == "input_tokens"
        assert estimated.parse().input_tokens > (400 if isinstance(said, str) else 0)


def test_another_method_is_told_of_all_that_the_path_takes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="this path takes DELETE, GET") as caught:
        client.post("/responses/compact", cast_to=object, body={"model": ECHO})
    assert caught.value.response.headers["allow"] == "DELETE, GET"


def test_what_a_request_refers_to_counts_as_if_it_had_brought_it(emulator_url: str) -> None:
    with (
        gateway(emulator_url, max_body_bytes=10_000) as base,
        openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0) as client,
    ):
        kept = client.responses.create(model=ECHO, input="x" * 4000)
        (said,) = kept.output
        once: Any = [{"role": "user", "content": "hello"}, {"type": "item_reference", "id": said.id}]
        assert client.responses.create(model=ECHO, input=[*once, *once[:1]]).output_text
        with pytest.raises(openai.APIStatusError, match="more than 10000 bytes") as caught:
            client.responses.create(model=ECHO, input=once * 3)
        assert caught.value.status_code == 413


def test_a_kept_answer_is_not_streamed_again(client: openai.OpenAI) -> None:
    response = client.responses.create(model=ECHO, input="x")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.retrieve(response.id, stream=True)
    assert caught.value.param == "stream"


def test_an_answer_that_is_too_large_to_keep_says_so(client: openai.OpenAI) -> None:
    text = "x" * 8_000_001
    response = client.responses.create(model=ECHO, input=text)
    assert response.output_text.startswith("xxx")
    assert response.to_dict()["store"] is False
