"""What OpenAI's document, Open Responses and Anthropic's types require of answers, and what is told of requests.

Sources: OpenAI's document 2.3.0 (2026-08-21), Open Responses (2026-04-24), anthropic 2.14. On 965aba3 each was missing.
"""

from typing import Any

import httpx
import pytest

from tests.servers import KEY

NOVA, CLAUDE, GPT = "us.amazon.nova-2-lite-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "openai.gpt-5.5"
HEADERS = {"x-api-key": KEY}
FUNCTION: Any = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
USER: Any = {"role": "user", "content": "hi"}


def respond(url: str, **body: Any) -> httpx.Response:
    request = {"model": NOVA, "input": "hi", "store": False, **body}
    return httpx.post(f"{url}/v1/responses", json=request, headers=HEADERS, timeout=30)


def chat(url: str, **body: Any) -> httpx.Response:
    request = {"model": NOVA, "messages": [USER], **body}
    return httpx.post(f"{url}/v1/chat/completions", json=request, headers=HEADERS, timeout=30)


def ignored(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-outcrop-ignored", "").split(", ")


@pytest.mark.parametrize("model", [NOVA, CLAUDE, GPT])
def test_a_response_has_what_open_responses_requires(gateway_url: str, model: str) -> None:
    response = respond(gateway_url, model=model, safety_identifier="s", prompt_cache_key="k").json()
    assert (response["safety_identifier"], response["prompt_cache_key"]) == ("s", "k")
    assert all(isinstance(response[name], int | float) for name in ("temperature", "top_p"))
    names = ("presence_penalty", "frequency_penalty", "top_logprobs", "service_tier", "max_tool_calls", "completed_at")
    assert [name for name in names if name not in response] == []


@pytest.mark.parametrize("model", [NOVA, GPT])
def test_tools_are_echoed_with_all_their_members(gateway_url: str, model: str) -> None:
    (tool,) = respond(gateway_url, model=model, tools=[FUNCTION]).json()["tools"]
    assert tool == {**FUNCTION, "description": None, "strict": None}


@pytest.mark.parametrize("call", [{}, {"call_id": None}, {"call_id": 5}])
def test_a_missing_call_id_is_named(gateway_url: str, call: Any) -> None:
    item = {"type": "function_call_output", "output": "abc", **call}
    error = respond(gateway_url, input=[USER, item]).json()["error"]
    assert error["param"] == "input[1].call_id"


@pytest.mark.parametrize("model", [NOVA, GPT])
def test_an_unknown_response_has_its_code(gateway_url: str, model: str) -> None:
    answer = respond(gateway_url, model=model, previous_response_id="resp_unknown")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "previous_response_not_found",
        "previous_response_id",
    )


def test_members_of_earlier_answers_are_named(gateway_url: str) -> None:
    text = {
        "type": "output_text",
        "text": "ok",
        "annotations": [{"type": "url_citation"}],
        "logprobs": [{"token": "o"}],
    }
    said = {"type": "message", "role": "assistant", "id": "msg_1", "status": "incomplete", "content": [text]}
    names = ignored(respond(gateway_url, input=[USER, {**said, "phase": "commentary"}, USER]))
    assert {"input[].id", "input[].status"} <= set(names)
    assert [name for name in names if "phase" in name]
    assert [name for name in names if "annotations" in name]
    assert [name for name in names if "logprobs" in name]


def test_a_schema_that_need_not_be_followed_is_named(gateway_url: str) -> None:
    schema = {"name": "n", "strict": False, "schema": {"type": "object", "properties": {}}}
    wanted = {"type": "json_schema", "json_schema": schema}
    assert "response_format.json_schema.strict" in ignored(chat(gateway_url, response_format=wanted))
    text = {"format": {"type": "json_schema", **schema}}
    assert "text.format.strict" in ignored(respond(gateway_url, text=text))


def test_a_field_of_chat_is_refused_by_responses(gateway_url: str) -> None:
    """The caller would get prose."""
    for model in (NOVA, GPT):
        answer = respond(gateway_url, model=model, response_format={"type": "json_object"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")


def test_a_choice_of_a_tool_that_cannot_be_called_is_explained(gateway_url: str) -> None:
    search = {"type": "web_search"}
    answer = respond(gateway_url, tools=[search], tool_choice=search)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tool_choice")
    assert "none of the tools can be called on this model" in answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["shell_call", "apply_patch_call", "local_shell_call"])
def test_calls_that_run_at_the_client_need_no_servers_of_openai(gateway_url: str, kind: str) -> None:
    call = {"type": kind, "call_id": "c1", "action": {"type": "exec", "command": ["ls"]}}
    output = {"type": f"{kind}_output", "call_id": "c1", "output": "a.txt"}
    answer = respond(gateway_url, input=[USER, call, output, USER])
    assert answer.status_code == 200, answer.text


def test_models_have_a_lifecycle_for_anthropic(gateway_url: str) -> None:
    answer = httpx.get(f"{gateway_url}/v1/models", headers={**HEADERS, "anthropic-version": "2023-06-01"})
    assert {model.get("lifecycle") for model in answer.json()["data"]} == {"active"}


def test_a_get_without_an_upgrade_sends_codex_to_http(gateway_url: str) -> None:
    """codex#43353: only after a 426 it uses HTTP at once."""
    answer = httpx.get(f"{gateway_url}/v1/responses", headers=HEADERS)
    assert (answer.status_code, answer.headers.get("upgrade", "").lower()) == (426, "websocket")
