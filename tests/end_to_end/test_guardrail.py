"""A guardrail of the deployment applies to every call of a model, in every dialect and mode; otherwise no call is made."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.emulator.guardrails import GUARDRAIL
from app.emulator.protocol import BreakableProtocol
from app.wire import json
from tests.end_to_end.conftest import Records
from tests.end_to_end.recording import RecordedRequest, RecordingBedrock
from tests.servers import KEY, NOWHERE, emulator_app, gateway, http_reply, read_request, serving, upstream

ECHO, CLAUDE, GPT = "scripted.echo-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "openai.gpt-oss-120b-1:0"
HEADERS = {"authorization": f"Bearer {KEY}"}


def is_guarded(request: RecordedRequest) -> bool:
    """Return whether a request to Bedrock has the guardrail."""
    if request.path.rpartition("/")[2].startswith("converse"):
        config = request.body.get("guardrailConfig", {})
        return (config.get("guardrailIdentifier"), config.get("guardrailVersion")) == (GUARDRAIL, "7")
    names = ("x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion")
    return "/invoke" in request.path and [request.headers.get(name) for name in names] == [GUARDRAIL, "7"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, RecordingBedrock]]:
    recorder = RecordingBedrock()
    with (
        serving(recorder, http=BreakableProtocol) as url,
        gateway(url, guardrail_id=GUARDRAIL, guardrail_version="7") as base,
    ):
        yield base, recorder


def send(base: str, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(base + path, json=body, headers={**HEADERS, **headers}, timeout=20)


def requests_with(text: str) -> list[tuple[str, Any]]:
    messages = [{"role": "user", "content": text}]
    converse = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    native = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": messages}
    found: list[tuple[str, Any]] = []
    for model in (ECHO, CLAUDE, GPT):
        for stream in (False, True):
            found += [
                ("/v1/chat/completions", {"model": model, "messages": messages, "stream": stream}),
                ("/v1/responses", {"model": model, "input": text, "stream": stream}),
                ("/v1/messages", {"model": model, "max_tokens": 9, "messages": messages, "stream": stream}),
            ]
    return [
        *found,
        (f"/model/{ECHO}/converse", converse),
        (f"/model/{ECHO}/converse-stream", converse),
        (f"/model/{CLAUDE}/invoke", native),
        (f"/model/{CLAUDE}/invoke-with-response-stream", native),
    ]


@pytest.mark.parametrize("index", range(len(requests_with(""))))
def test_guardrail_is_set_on_every_call(guarded: tuple[str, RecordingBedrock], index: int) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    path, body = requests_with("hello")[index]
    assert send(base, path, body).status_code == 200
    assert recorder.requests
    for request in recorder.requests:
        assert is_guarded(request), request.path


@pytest.mark.parametrize("index", [index for index, (path, _) in enumerate(requests_with("")) if "invoke" not in path])
def test_blocked_input_has_the_stop_reason_of_the_dialect(guarded: tuple[str, RecordingBedrock], index: int) -> None:
    path, body = requests_with("this is forbidden")[index]
    if body.get("model") == CLAUDE and path == "/v1/messages":
        return  # the embedded Bedrock has no guardrail on InvokeModel; the test above checks the headers
    text = send(guarded[0], path, body).text
    words = ("content_filter", "refusal", "guardrail_intervened")
    assert any(word in text for word in words), text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": ["fine", "this is forbidden"]}),
        ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": "x", "documents": ["fine", "this is forbidden"]}),
    ],
)
def test_embeddings_and_rerank_are_checked_by_apply_guardrail_first(
    guarded: tuple[str, RecordingBedrock], path: str, body: Any
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, path, body)
    assert answer.status_code == 400
    assert "guardrail" in answer.text
    assert [request.path for request in recorder.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    fine = json.loads(json.dumps(body).replace(b"forbidden", b"allowed"))
    assert send(base, path, fine).status_code == 200


PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile"


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "this is forbidden"}),
        ("cohere.embed-v4:0", {"texts": ["fine", "this is forbidden"], "input_type": "search_query"}),
        ("cohere.rerank-v3-5:0", {"query": "x", "documents": ["this is forbidden"], "api_version": 2}),
        (quote(f"{PROFILE}/amazon.titan-embed-text-v2:0", safe=""), {"inputText": "this is forbidden"}),
        (f"{PROFILE}/amazon.titan-embed-text-v2:0", {"inputText": "this is forbidden"}),
    ],
)
def test_invoke_model_of_embeddings_and_rerank_is_checked_by_apply_guardrail_first(
    guarded: tuple[str, RecordingBedrock], model: str, body: Any
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{model}/invoke", body)
    assert (answer.status_code, "guardrail" in answer.text) == (400, True)
    assert [request.path for request in recorder.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    fine = json.loads(json.dumps(body).replace(b"forbidden", b"allowed"))
    assert send(base, f"/model/{model}/invoke", fine).status_code == 200
    for unchecked in (
        {"images": ["data:image/png;base64,aGk="]},
        {"text": {"source": {"s3Location": {"uri": "s3://b/c"}}}},
    ):
        answer = send(base, f"/model/{model}/invoke", {**fine, **unchecked})
        assert (answer.status_code, "cannot look at this" in answer.text) == (400, True)


def test_invoke_model_of_a_chat_model_by_arn_has_the_guardrail_headers(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    for model in (f"{PROFILE}/{CLAUDE}", quote(f"{PROFILE}/{CLAUDE}", safe="")):
        recorder.requests.clear()
        assert send(base, f"/model/{model}/invoke", NATIVE).status_code == 200
        (request,) = recorder.requests
        assert is_guarded(request)


CANVAS: Any = {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "this is forbidden"}}
UNRESOLVED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc"


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.nova-canvas-v1:0", CANVAS),
        ("us.amazon.nova-reel-v1:1", CANVAS),
        ("stability.sd3-5-large-v1:0", {"prompt": "this is forbidden"}),
        ("new.model-v1:0", {"question": "this is forbidden", "prompt": "ok"}),
        ("new.model-v1:0", {"question": "this is forbidden", "messages": [{"role": "user"}]}),
        (quote(UNRESOLVED, safe=""), {"question": "this is forbidden", "messages": [{"role": "user"}]}),
    ],
)
def test_fields_that_a_model_ignores_do_not_avoid_the_check(
    guarded: tuple[str, RecordingBedrock], model: str, body: Any
) -> None:
    """Findings, Low: Nova Canvas passed as a model of text, and decoy fields kept all other text from the check."""
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{model}/invoke", body)
    assert (answer.status_code, "guardrail" in answer.text) == (400, True)
    assert [request.path for request in recorder.requests if "/guardrail" in request.path] == [
        f"/guardrail/{GUARDRAIL}/version/7/apply"
    ]
    assert not any(request.path.endswith("/invoke") for request in recorder.requests)
    fine = json.loads(json.dumps(body).replace(b"forbidden", b"allowed"))
    for unchecked in ({"conditionImage": "aGk="}, {"x": ["a" * 2000]}):
        recorder.requests.clear()
        answer = send(base, f"/model/{model}/invoke", {**fine, **unchecked})
        assert (answer.status_code, "cannot look at this" in answer.text) == (400, True)
        assert not any(request.path.endswith("/invoke") for request in recorder.requests)


CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
NATIVE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
WITH_GUARD_CONTENT = {
    "messages": [{"role": "user", "content": [{"text": "a"}, {"guardContent": {"text": {"text": "b"}}}]}]
}


def with_tool_result(content: list[Any]) -> dict[str, Any]:
    """Return a conversation with this tool result."""
    use = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
    return {
        "messages": [
            {"role": "user", "content": [{"text": "send the tool"}]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": content}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
    }


FORBIDDEN = "this is forbidden"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORBIDDEN_BYTES = encoded(FORBIDDEN)


@pytest.mark.parametrize(
    "content",
    [
        {"text": FORBIDDEN},
        {"json": {"said": [FORBIDDEN]}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": FORBIDDEN}]}},
        {"searchResult": {"source": "s", "title": FORBIDDEN, "content": [{"text": "x"}]}},
        {"document": {"format": "txt", "name": "d", "source": {"text": FORBIDDEN}}},
        {"document": {"format": "txt", "name": "d", "source": {"content": [{"text": FORBIDDEN}]}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": FORBIDDEN_BYTES}}},
        {"document": {"format": "txt", "name": "d", "context": FORBIDDEN, "source": {"bytes": "aGk="}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("for&#98;idd&#x65;n")}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("for<b>bid</b>den")}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("<p title='for&#98;idden'>")}}},
        {"json": {FORBIDDEN: 1}},
    ],
)
def test_tool_results_are_checked_by_apply_guardrail(
    guarded: tuple[str, RecordingBedrock], content: dict[str, Any]
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{ECHO}/converse", with_tool_result([content]))
    assert answer.status_code == 400
    assert "guardrail" in answer.text
    assert [request.path for request in recorder.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    assert send(base, f"/model/{ECHO}/converse", with_tool_result([{"text": "this is fine"}])).status_code == 200


def test_images_in_tool_results_are_checked_by_apply_guardrail(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    picture = {"format": "png", "source": {"bytes": "aGk="}}
    send(base, f"/model/{ECHO}/converse", with_tool_result([{"image": picture}]))
    assert recorder.requests[0].path == f"/guardrail/{GUARDRAIL}/version/7/apply"
    assert recorder.requests[0].body == {"source": "INPUT", "content": [{"image": picture}]}


@pytest.mark.parametrize(
    "content",
    [
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": "/w=="}}},
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": FORBIDDEN_BYTES}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "no base64"}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "\u00e9"}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "YQBiAA=="}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": f"eA=={FORBIDDEN_BYTES}"}}},
        {"document": {"format": "pdf", "name": "d", "source": {"text": "ok", "bytes": FORBIDDEN_BYTES}}},
        {"image": {"format": "png", "source": {"bytes": "aGk=", "s3Location": {"uri": "s3://a/b"}}}},
        {"image": {"format": "png", "source": {"bytes": "aGk="}, "error": {"message": FORBIDDEN}}},
        {"document": {"format": "pdf", "name": "d", "source": {"s3Location": {"uri": "s3://a/b"}}}},
        {"image": {"format": "gif", "source": {"bytes": "aGk="}}},
        {"video": {"format": "mp4", "source": {"bytes": "aGk="}}},
        {"somethingNew": {}},
    ],
)
def test_content_that_a_guardrail_cannot_check_is_refused(
    guarded: tuple[str, RecordingBedrock], content: dict[str, Any]
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{ECHO}/converse", with_tool_result([content]))
    assert (answer.status_code, recorder.requests) == (400, [])
    assert "cannot look at this" in answer.json()["message"]


def with_assistant_turn(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return a conversation with this assistant turn."""
    turns = [{"role": "assistant", "content": [*blocks]}, {"role": "user", "content": [{"text": "go on"}]}]
    return {"messages": [{"role": "user", "content": [{"text": "hello"}]}, *turns]}


def with_user_content(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": "hello"}, *blocks]}]}


PDF = {"format": "pdf", "name": "d", "source": {"bytes": "JVBERi0="}}


@pytest.mark.parametrize(
    "body",
    [
        with_assistant_turn({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": ["b", FORBIDDEN]}}}),
        with_assistant_turn({"toolUse": {"toolUseId": "t", "name": "f", "input": "this is\nforbidden"}}),
        with_assistant_turn({"reasoningContent": {"reasoningText": {"text": FORBIDDEN, "signature": "s"}}}),
        with_assistant_turn({"citationsContent": {"content": [{"text": FORBIDDEN}], "citations": []}}),
        with_assistant_turn({"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": FORBIDDEN}]}}),
        with_user_content({"toolResult": {"toolUseId": "t", "type": FORBIDDEN, "content": [{"text": "x"}]}}),
        with_user_content({"document": {**PDF, "name": FORBIDDEN}}),
        with_user_content({"document": {**PDF, "context": FORBIDDEN}}),
        with_user_content({"document": {**PDF, "format": "txt", "source": {"text": FORBIDDEN}}}),
        with_user_content({"searchResult": {"source": "s", "title": FORBIDDEN, "content": [{"text": "x"}]}}),
        {"promptVariables": {"a": {"text": FORBIDDEN}}},
    ],
)
def test_content_that_converse_does_not_check_is_checked_by_apply_guardrail(
    guarded: tuple[str, RecordingBedrock], body: dict[str, Any]
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{ECHO}/converse", body)
    assert (answer.status_code, "blocked the input" in answer.text) == (400, True)
    assert [request.path for request in recorder.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]


def test_json_in_tool_results_is_checked_as_text(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    send(base, f"/model/{ECHO}/converse", with_tool_result([{"json": {"a": ["b\tc", {"d": 5}], "e": None}}]))
    assert recorder.requests[0].body["content"] == [{"text": {"text": "a\nb\tc\nd: 5\ne: null"}}]


@pytest.mark.parametrize(
    "body",
    [
        with_tool_result([{"text": "ok", "json": {"a": FORBIDDEN}}]),
        with_tool_result([{"text": "ok", "document": PDF}]),
        with_tool_result([{"text": None, "image": {"format": "gif", "source": {"bytes": "aGk="}}}]),
        with_tool_result({"text": FORBIDDEN}),  # type: ignore[arg-type]
        with_tool_result([{"toolResult": {"toolUseId": "t2", "content": [{"text": FORBIDDEN}]}}]),
        {"messages": [{"role": "user", "content": {"toolResult": {"content": [{"text": FORBIDDEN}]}}}]},
        {"messages": {"role": "user", "content": [{"text": FORBIDDEN}]}},
        with_user_content({"text": "ok", "toolResult": {"toolUseId": "t", "content": [{"text": FORBIDDEN}]}}),
        with_user_content({"ToolResult": {"toolUseId": "t", "content": [{"text": FORBIDDEN}]}}),
        with_user_content({"toolResult": [{"text": FORBIDDEN}]}),
        with_user_content({"document": {**PDF, "source": {"text": "ok", "bytes": "JVBERi0="}}}),
        with_assistant_turn({"reasoningContent": {"redactedContent": "aGk=", "reasoningText": {"text": FORBIDDEN}}}),
        {**with_user_content(), "system": {"text": FORBIDDEN}},
        {**with_user_content(), "system": [{"text": "ok", "cachePoint": {"type": "default"}}]},
        {**with_user_content(), "system": [{"somethingNew": FORBIDDEN}]},
        {**with_user_content(), "additionalModelRequestFields": {"system": FORBIDDEN}},
        {**with_user_content(), "additionalModelRequestFields": {"messages": [{"role": "user", "content": FORBIDDEN}]}},
        {**with_user_content(), "additionalModelRequestFields": [FORBIDDEN]},
    ],
)
def test_ambiguous_content_is_refused_without_a_call(
    guarded: tuple[str, RecordingBedrock], body: dict[str, Any]
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    answer = send(base, f"/model/{ECHO}/converse", body)
    assert (answer.status_code, recorder.requests) == (400, [])


def test_content_without_text_is_not_checked(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    use = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
    body = {
        **with_assistant_turn({"reasoningContent": {"redactedContent": "aGk="}}, use),
        "system": [{"text": "x"}, {"cachePoint": {"type": "default"}}],
        "additionalModelRequestFields": {"top_k": 5, "safe": True, "thinking": {"type": "disabled"}},
    }
    send(base, f"/model/{ECHO}/converse", body)
    assert [request.path for request in recorder.requests] == [f"/model/{ECHO}/converse"]


def test_invoke_model_sends_a_content_type(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    for given, sent in (({}, "application/json"), ({"content-type": "application/x"}, "application/x")):
        recorder.requests.clear()
        httpx.post(f"{base}/model/{CLAUDE}/invoke", content=json.dumps(NATIVE), headers={**HEADERS, **given})
        assert recorder.requests[0].headers["content-type"] == sent


@pytest.mark.parametrize("messages", [5, "x", [5], [{"content": 5}], [{"content": [5, {"toolResult": 5}]}]])
def test_malformed_messages_return_400(guarded: tuple[str, RecordingBedrock], messages: Any) -> None:
    assert send(guarded[0], f"/model/{ECHO}/converse", {"messages": messages}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": {"guardrailIdentifier": "other"}}, {}, 400),
        (f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": {"guardrailVersion": "1"}}, {}, 400),
        (f"/model/{ECHO}/converse-stream", {**CONVERSE, "guardrailConfig": {"streamProcessingMode": "async"}}, {}, 400),
        (f"/model/{ECHO}/converse", WITH_GUARD_CONTENT, {}, 400),
        (f"/model/{CLAUDE}/invoke", NATIVE, {"x-amzn-bedrock-guardrailidentifier": "other"}, 400),
        (f"/model/{CLAUDE}/invoke", {**NATIVE, "amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}, {}, 400),
        (f"/model/{ECHO}/converse", {**CONVERSE, "system": [{"guardContent": {"text": {"text": "b"}}}]}, {}, 400),
        (f"/model/{ECHO}/converse", with_tool_result([{"guardContent": {"text": {"text": "b"}}}]), {}, 400),
        (f"/model/{ECHO}/converse", [], {}, 400),
        ("/async-invoke", {"modelId": ECHO, "modelInput": {}, "outputDataConfig": {}}, {}, 403),
    ],
)
def test_callers_cannot_replace_or_avoid_the_guardrail(
    guarded: tuple[str, RecordingBedrock], path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    assert send(base, path, body, **headers).status_code == status
    assert recorder.requests == []


def test_duplicate_guardrail_config_is_refused(guarded: tuple[str, RecordingBedrock]) -> None:
    twice = b'{"messages":[{"role":"user","content":[{"text":"x"}]}],"guardrailConfig":{},"guardrailConfig":{}}'
    answer = httpx.post(f"{guarded[0]}/model/{ECHO}/converse", content=twice, headers=HEADERS)
    assert answer.status_code == 400


def test_callers_can_name_the_same_guardrail_and_request_a_trace(guarded: tuple[str, RecordingBedrock]) -> None:
    base, recorder = guarded
    recorder.requests.clear()
    config = {"guardrailIdentifier": GUARDRAIL, "guardrailVersion": "7", "trace": "enabled"}
    assert send(base, f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": config}).status_code == 200
    assert recorder.requests[0].body["guardrailConfig"] == config


def test_apply_guardrail_is_not_recorded_as_an_attempt() -> None:
    records = Records()
    with (
        serving(emulator_app(), http=BreakableProtocol) as url,
        gateway(url, records, guardrail_id=GUARDRAIL, guardrail_version="7") as base,
    ):
        body = {"model": "amazon.titan-embed-text-v2:0", "input": "hello"}
        assert send(base, "/v1/embeddings", body).status_code == 200
        assert send(base, "/v1/embeddings", {**body, "input": "blocked"}).status_code in (200, 400)
    embedded = next(record for record in records.all if record.dialect)
    assert ([attempt.target for attempt in embedded.tries], embedded.has_moved) == ([body["model"]], False)


def test_unreachable_guardrail_returns_502() -> None:

    with gateway(NOWHERE, guardrail_id=GUARDRAIL) as base:
        body = {"model": "amazon.titan-embed-text-v2:0", "input": "x"}
        assert send(base, "/v1/embeddings", body).status_code == 502


@pytest.fixture(scope="module")
def unguarded(emulator_url: str) -> Iterator[tuple[str, Records]]:
    with gateway(emulator_url, records := Records(), guardrail_id="unknown") as base:
        yield base, records


@pytest.mark.parametrize(
    ("path", "body"),
    [*requests_with("hi"), ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"})],
)
def test_missing_guardrail_returns_500_internal(unguarded: tuple[str, Records], path: str, body: Any) -> None:
    base, records = unguarded
    answer = send(base, path, body)
    record = records.by_id(answer.headers["x-request-id"])
    if record.error == "permission":  # the operation accepts no guardrail, and is refused first
        return
    assert (answer.status_code, record.error, record.detail) == (500, "internal", "GUARDRAIL_ID")


@pytest.mark.parametrize(
    ("status", "name", "error"),
    [
        ("429 Too Many Requests", "ThrottlingException", "rate_limited"),
        ("403 Forbidden", "AccessDeniedException", "permission"),
        ("503 Service Unavailable", "ServiceUnavailableException", "overloaded"),
    ],
)
def test_errors_of_apply_guardrail_are_recorded_with_its_name(status: str, name: str, error: str) -> None:
    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(b'{"message":"no"}', status, "application/json", f"x-amzn-errortype: {name}\r\n"))
        await writer.drain()

    with (
        upstream(fail) as url,
        gateway(url, records := Records(), guardrail_id=GUARDRAIL, bedrock_max_attempts=1) as base,
    ):
        answer = send(base, "/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"})
        record = records.by_id(answer.headers["x-request-id"])
    assert (record.error, record.detail) == (error, f"ApplyGuardrail: {name}")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/model/{ECHO}/converse", {"messages": [{"role": "guardrail version", "content": [{"text": "x"}]}]}),
        (
            "/v1/messages",
            {
                "model": CLAUDE,
                "max_tokens": 9,
                "messages": [{"role": "user", "content": [{"type": "The provided guardrail identifier is invalid."}]}],
            },
        ),
    ],
)
def test_invalid_requests_that_mention_guardrails_return_400(
    guarded: tuple[str, RecordingBedrock], path: str, body: Any
) -> None:
    assert send(guarded[0], path, body).status_code == 400


def test_region_without_the_guardrail_is_called_once(tmp_path: Path) -> None:
    recorder = RecordingBedrock()
    path = tmp_path / "outcrop.toml"

    async def refuse_guardrail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await read_request(reader))
        refusal = b'{"message":"The provided guardrail identifier is invalid."}'
        extra = "x-amzn-errortype: ValidationException\r\nconnection: close\r\n"
        writer.write(http_reply(refusal, "400 Bad Request", "application/json", extra))
        await writer.drain()
        writer.close()

    calls: list[Any] = []
    with upstream(refuse_guardrail) as other_region, serving(recorder, http=BreakableProtocol) as bedrock:
        first = f'{{ model = "{ECHO}", region = "us-west-2", endpoint_url = "{other_region}" }}'
        path.write_text(f'[routes.smart]\ntargets = [{first}, {{ model = "{ECHO}" }}]\n')
        with gateway(bedrock, config_file=path, guardrail_id=GUARDRAIL) as base:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}
            assert [send(base, "/v1/chat/completions", body).status_code for _ in range(3)] == [200] * 3
    assert len(calls) == 1
