"""Invalid request bodies: a 400 in the format of the dialect with the path of the field, never a 500."""

import json
from typing import Any

import httpx
import pytest

from tests.servers import KEY

WITHOUT_PREFILL = "us.anthropic.claude-sonnet-4-6"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
BODIES = {
    "/v1/chat/completions": '{"model":"scripted.echo-v1:0","messages":[{"role":"user","content":"x"}]%s}',
    "/v1/responses": '{"model":"scripted.echo-v1:0","input":[{"role":"user","content":"x"}]%s}',
    "/v1/messages": '{"model":"scripted.echo-v1:0","max_tokens":9,"messages":[{"role":"user","content":"x"}]%s}',
    "/v1/messages/count_tokens": '{"model":"scripted.echo-v1:0","messages":[{"role":"user","content":"x"}]%s}',
    "/v1/embeddings": '{"model":"amazon.titan-embed-text-v2:0","input":"x"%s}',
    "/v1/rerank": '{"model":"cohere.rerank-v3-5:0","query":"x","documents":["y"]%s}',
}


def post(base: str, path: str, body: bytes) -> httpx.Response:
    return httpx.post(base + path, content=body, headers=HEADERS, timeout=20)


def message_of(answer: httpx.Response) -> str:
    document: Any = answer.json()
    error = document.get("error", document)
    return f"{error.get('param') or ''} {error['message']}"


@pytest.mark.parametrize("path", BODIES)
def test_duplicate_keys_are_refused_with_their_path(gateway_url: str, path: str) -> None:
    for duplicate, where in ((',"model":"other.model"', "model"), (',"x":{"y":[0,{"z":1,"z":2}]}', "y")):
        answer = post(gateway_url, path, (BODIES[path] % duplicate).encode())
        assert answer.status_code == 400, answer.text
        assert "duplicate key" in message_of(answer)
        assert where in message_of(answer)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        b'{"model":1e999}',
        b'{"model":' + b"[" * 50_000,
        b'{"model":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"x":[' + b"[]," * 200_001 + b"1]}",
    ],
    ids=lambda body: body[:16].decode("latin-1"),
)
def test_malformed_bodies_return_400(gateway_url: str, path: str, body: bytes) -> None:
    answer = post(gateway_url, path, body)
    assert answer.status_code == 400, answer.text
    assert message_of(answer).strip()


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "wizard", "content": "x"}]}, "messages[0]"),
        ("/v1/chat/completions", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "stream": "yes"}, "stream"),
        ("/v1/responses", {"input": [{"role": "wizard", "content": "x"}]}, "input[0]"),
        ("/v1/responses", {"input": {}}, "input"),
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "wizard", "content": "x"}]}, "messages.0"),
        ("/v1/messages", {"max_tokens": "many", "messages": []}, "max_tokens"),
    ],
)
def test_invalid_fields_are_named_with_their_path(
    gateway_url: str, path: str, body: dict[str, Any], where: str
) -> None:
    answer = httpx.post(gateway_url + path, json={"model": "scripted.echo-v1:0", **body}, headers=HEADERS)
    assert answer.status_code == 400, answer.text
    assert where in message_of(answer), answer.text


@pytest.mark.parametrize("path", BODIES)
def test_empty_bodies_non_objects_and_unknown_paths_have_clear_errors(gateway_url: str, path: str) -> None:
    assert "the body is empty" in message_of(post(gateway_url, path, b""))
    assert "must be a JSON object" in message_of(post(gateway_url, path, b"[]"))
    answer = post(gateway_url, path + "/", b"{}")
    assert (answer.status_code, "/docs" in message_of(answer)) == (404, True)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("more", ["", ',"stream":true'])
def test_unknown_model_returns_404_that_refers_to_the_model_list(gateway_url: str, path: str, more: str) -> None:
    for name in ("no.such-model", "anthropic.claude-nope-v1:0"):
        answer = post(gateway_url, path, (BODIES[path] % more).replace("scripted.echo-v1:0", name).encode())
        assert (answer.status_code, "GET /v1/models lists" in message_of(answer)) == (404, True), answer.text


def post_with(base: str, path: str, members: dict[str, Any]) -> httpx.Response:
    """Send the minimal body of a path with other or additional members."""
    return httpx.post(base + path, json={**json.loads(BODIES[path] % ""), **members}, headers=HEADERS)


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/chat/completions", {"reasoning_effort": "low"}, "reasoning_effort"),
        ("/v1/responses", {"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ("/v1/messages", {"thinking": {"type": "adaptive"}}, "thinking"),
        ("/v1/messages", {"output_config": {"effort": "low"}}, "output_config.effort"),
        (
            "/v1/messages",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            "thinking, output_config.effort",
        ),
    ],
)
def test_ignored_reasoning_fields_have_the_names_of_the_dialect(
    gateway_url: str, path: str, body: dict[str, Any], names: str
) -> None:
    answer = post_with(gateway_url, path, body)
    assert (answer.status_code, answer.headers["x-outcrop-ignored"]) == (200, names)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/chat/completions", {"model": "openai.gpt-5.6-sol", "stop": ["x"]}, "stop"),
        ("/v1/messages", {"model": "openai.gpt-5.6-sol", "stop_sequences": ["x"]}, "stop_sequences"),
        ("/v1/responses", {"model": WITHOUT_PREFILL, "input": [{"role": "assistant", "content": "x"}]}, "input"),
        (
            "/v1/chat/completions",
            {"model": WITHOUT_PREFILL, "messages": [{"role": "assistant", "content": "x"}]},
            "messages",
        ),
    ],
)
def test_fields_that_a_model_refuses_have_the_names_of_the_dialect(
    gateway_url: str, path: str, body: dict[str, Any], where: str
) -> None:
    answer = post_with(gateway_url, path, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error.get("param", error["message"].partition(":")[0]) == where


@pytest.mark.parametrize("model", ["scripted.echo-v1:0", "openai.gpt-5.5"])
def test_too_long_namespace_names_are_refused_with_their_path(gateway_url: str, model: str) -> None:
    name, call = "n" * 257, {"call_id": "a", "name": "f"}
    for body, where in (
        (
            {"tools": [{"type": "namespace", "name": name, "tools": [{"type": "function", "name": "f"}]}]},
            "tools[0].name",
        ),
        ({"tools": [{"type": "namespace", "name": name, "tools": [{"type": "custom", "name": "f"}]}]}, "tools[0].name"),
        ({"input": [{"type": "function_call", "arguments": "{}", "namespace": name, **call}]}, "input[0].namespace"),
        ({"input": [{"type": "custom_tool_call", "input": "", "namespace": name, **call}]}, "input[0].namespace"),
    ):
        answer = httpx.post(f"{gateway_url}/v1/responses", json={"model": model, "input": "x", **body}, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, where), answer.text


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/responses/input_tokens"])
def test_token_count_of_an_invalid_request_returns_400(gateway_url: str, path: str) -> None:
    content = {"messages": [{"role": "user", "content": "x"}]} if "messages" in path else {"input": "x"}
    choice = {"type": "tool" if "messages" in path else "function", "name": "missing"}
    tool = {"type": "custom", "name": "f", "input_schema": {"type": "object"}}
    for body, where in (
        ({"model": " scripted.echo-v1:0"}, "model"),
        ({"model": "../x"}, "model"),
        ({"model": "scripted.echo-v1:0", "tools": [tool], "tool_choice": choice}, "tool_choice"),
    ):
        answer = httpx.post(gateway_url + path, json={**content, **body}, headers=HEADERS)
        assert answer.status_code == 400, answer.text
        assert where in message_of(answer)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_lone_surrogate_is_replaced_instead_of_refused(gateway_url: str, path: str) -> None:
    """claude-code#12631 and #72995: clients split surrogate pairs, and then send the text again in every turn."""
    answer = post(gateway_url, path, (BODIES[path] % "").encode().replace(b'"x"', rb'"cut \ud83d"'))
    assert (answer.status_code, "cut \ufffd" in json.dumps(answer.json(), ensure_ascii=False)) == (200, True)
