"""The acceptance cases of Open Responses, on one model of each kind, validated with its own schemas.

open_responses/openapi.json is the specification of 2026-04-24 as its project publishes it, under open_responses/LICENSE.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.end_to_end.websockets_client import calling
from tests.servers import KEY

SPECIFICATION = json.loads((Path(__file__).parent / "open_responses" / "openapi.json").read_text())
HEADERS = {"authorization": f"Bearer {KEY}"}
# a Claude, a Nova, a GPT and a model that only mantle serves
MODELS = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "openai.gpt-5.5",
    "google.gemma-4-31b",
)
EVENTS = {
    next(iter(schema["properties"]["type"]["enum"])): name
    for name, schema in SPECIFICATION["components"]["schemas"].items()
    if name.endswith("StreamingEvent")
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


INPUTS: dict[str, Any] = {
    "basic": [user("Say hello in three words.")],
    "system prompt": [{"type": "message", "role": "system", "content": "You are a pirate."}, user("Say hello.")],
    "several turns": [
        user("My name is Ada."),
        {"type": "message", "role": "assistant", "content": "Hello Ada."},
        user("What is my name?"),
    ],
    "image": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
            ],
        }
    ],
    "phases": [
        user("Look it up."),
        {"type": "message", "role": "assistant", "phase": "commentary", "content": "I look it up."},
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": "It is 42."},
        user("Say it again."),
    ],
}


@cache
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": SPECIFICATION["components"]})


def check(document: Any, schema: str) -> None:
    errors = [f"{error.json_path}: {error.message[:300]}" for error in validator(schema).iter_errors(document)]
    assert errors == []


def check_completed(response: Any) -> None:
    """Check a response that is complete."""
    check(response, "ResponseResource")
    assert response["status"] == "completed"
    assert response["output"]


def check_events(events: list[Any]) -> None:
    """Check the events of a response that is complete, up to the last."""
    for event in events:
        check(event, EVENTS[event["type"]])
    assert events[-1]["type"] == "response.completed"
    check_completed(events[-1]["response"])


def post(url: str, path: str = "", **body: Any) -> Any:
    return httpx.post(f"{url}/v1/responses{path}", json=body, headers=HEADERS, timeout=30)


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("model", MODELS)
def test_response_is_complete(gateway_url: str, model: str, case: str) -> None:
    answer = post(gateway_url, model=model, input=INPUTS[case])
    assert answer.status_code == 200, answer.text
    check_completed(answer.json())


@pytest.mark.parametrize("model", MODELS)
def test_function_is_called(gateway_url: str, model: str) -> None:
    answer = post(gateway_url, model=model, input=[user("What is the weather in Zurich?")], tools=[WEATHER])
    check_completed(answer.json())
    assert "function_call" in [item["type"] for item in answer.json()["output"]]


@pytest.mark.parametrize("model", MODELS)
def test_every_event_matches_its_schema(gateway_url: str, model: str) -> None:
    text = post(gateway_url, model=model, input=INPUTS["basic"], tools=[WEATHER], stream=True).text
    check_events([json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")])


def test_phase_of_a_message_is_part_of_the_schema() -> None:
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}
    check({**message, "phase": "commentary"}, "Message")
    assert not validator("Message").is_valid({**message, "phase": "interlude"})


def check_not_found(event: Any) -> None:
    """Check the answer to a continuation of a response that the connection does not have."""
    check(event, "WebSocketErrorEvent")
    assert (event["status"], event["error"]["code"]) == (400, "previous_response_not_found")


@pytest.mark.parametrize("model", MODELS)
def test_websocket_answers_with_the_events_of_a_stream(gateway_url: str, model: str) -> None:
    with calling(gateway_url) as caller:
        caller.send(model=model, input=INPUTS["basic"], tools=[WEATHER])
        check_events(caller.events())


@pytest.mark.parametrize("model", MODELS)
def test_websocket_answers_one_message_after_the_other(gateway_url: str, model: str) -> None:
    with calling(gateway_url) as caller:
        for text in ("Say one.", "Say two."):  # the second arrives while the first is answered
            caller.send(model=model, input=[user(text)], store=False)
        for _ in range(2):
            check_events(caller.events())


@pytest.mark.parametrize("model", MODELS)
def test_websocket_continues_its_last_response(gateway_url: str, model: str) -> None:
    with calling(gateway_url) as caller:
        caller.send(model=model, input=[user("What is the weather?")], tools=[WEATHER], store=False)
        events = caller.events()
        check_events(events)
        first = events[-1]["response"]
        (call,) = [item for item in first["output"] if item["type"] == "function_call"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "hail"}
        caller.send(model=model, input=[output], tools=[WEATHER], store=False, previous_response_id=first["id"])
        events = caller.events()
        check_events(events)
    assert events[-1]["response"]["previous_response_id"] == first["id"]
    # the embedded Bedrock repeats the output of a call that it knows
    assert "hail" in json.dumps(events[-1]["response"]["output"])


@pytest.mark.parametrize("model", MODELS)
def test_new_connection_does_not_know_the_response_and_begins_anew(gateway_url: str, model: str) -> None:
    with calling(gateway_url) as caller:
        first = caller.ask(model=model, input=[user("Say one.")], store=False)["response"]
    with calling(gateway_url) as caller:
        again = {"model": model, "input": [user("Say two.")], "store": False}
        check_not_found(caller.ask(**again, previous_response_id=first["id"]))
        caller.send(**again)
        check_events(caller.events())


def test_unknown_response_is_not_found(gateway_url: str) -> None:
    with calling(gateway_url) as caller:
        check_not_found(caller.ask(model=MODELS[0], input="x", store=False, previous_response_id="resp_0"))


@pytest.mark.parametrize("model", MODELS)
def test_failed_continuation_ends_the_chain(gateway_url: str, model: str) -> None:
    orphan = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
    with calling(gateway_url) as caller:
        first = caller.ask(model=model, input=[user("Say one.")], store=False)["response"]
        failed = caller.ask(model=model, input=[orphan], store=False, previous_response_id=first["id"])
        check(failed, "WebSocketErrorEvent")
        assert failed["error"]["param"] == "input[0].call_id"
        more = {"model": model, "input": [user("Say two.")], "store": False}
        check_not_found(caller.ask(**more, previous_response_id=first["id"]))
        assert caller.ask(**more)["type"] == "response.completed"


@pytest.mark.parametrize("model", MODELS)
def test_compacted_conversation_begins_a_new_chain(gateway_url: str, model: str) -> None:
    conversation = [user("I like blue."), {"type": "message", "role": "assistant", "content": "Noted."}]
    answer = post(gateway_url, "/compact", model=model, input=conversation, prompt_cache_key="k")
    assert answer.status_code == 200, answer.text
    check(answer.json(), "CompactResource")
    message, compaction = answer.json()["output"]
    assert (message["content"], compaction["type"]) == ([{"type": "input_text", "text": "I like blue."}], "compaction")
    with calling(gateway_url) as caller:
        more = [message, compaction, user("What do I like?")]
        caller.send(model=model, input=more, store=False)
        check_events(caller.events())


def test_compaction_needs_a_model(gateway_url: str) -> None:
    answer = post(gateway_url, "/compact", input=INPUTS["basic"])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": {"role": "user", "content": "s"}}, "input"),
        ({"input": 5}, "input"),
        ({"input": True}, "input"),
        ({"max_output_tokens": 1}, "max_output_tokens"),
        ({"stream": 5}, "stream"),
        ({"store": "x"}, "store"),
        ({"tool_choice": 5}, "tool_choice"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_compaction_refuses_what_it_cannot_read(
    gateway_url: str, model: str, changes: dict[str, Any], param: str
) -> None:
    answer = post(gateway_url, "/compact", **{"model": model, "input": "I like blue.", **changes})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


@pytest.mark.parametrize("model", MODELS)
def test_compaction_names_members_without_effect(gateway_url: str, model: str) -> None:
    dropped = {"stream": True, "text": {"format": {"type": "text"}}, "store": True}
    answer = post(gateway_url, "/compact", model=model, input="I like blue.", include=[], tool_choice="none", **dropped)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-outcrop-ignored"].split(", ") == ["stream", "text", "store"]
