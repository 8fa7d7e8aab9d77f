"""A guardrail of the deployment is on every call that runs a model, in every dialect and mode, or there is no call."""

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


def is_guarded(asked: RecordedRequest) -> bool:
    """True if the guardrail is on a request."""
    if asked.path.rpartition("/")[2].startswith("converse"):
        config = asked.body.get("guardrailConfig", {})
        return (config.get("guardrailIdentifier"), config.get("guardrailVersion")) == (GUARDRAIL, "7")
    names = ("x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion")
    return "/invoke" in asked.path and [asked.headers.get(name) for name in names] == [GUARDRAIL, "7"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[str, RecordingBedrock]]:
    seen = RecordingBedrock()
    with (
        serving(seen, http=BreakableProtocol) as url,
        gateway(url, guardrail_id=GUARDRAIL, guardrail_version="7") as base,
    ):
        yield base, seen


def ask(base: str, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(base + path, json=body, headers={**HEADERS, **headers}, timeout=20)


def endpoints(text: str) -> list[tuple[str, Any]]:
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


@pytest.mark.parametrize("index", range(len(endpoints(""))))
def test_it_is_on_every_call(guarded: tuple[str, RecordingBedrock], index: int) -> None:
    base, seen = guarded
    seen.requests.clear()
    path, body = endpoints("hello")[index]
    assert ask(base, path, body).status_code == 200
    assert seen.requests
    for request in seen.requests:
        assert is_guarded(request), request.path


@pytest.mark.parametrize("index", [index for index, (path, _) in enumerate(endpoints("")) if "invoke" not in path])
def test_what_it_blocks_is_told_in_the_dialect(guarded: tuple[str, RecordingBedrock], index: int) -> None:
    path, body = endpoints("this is forbidden")[index]
    if body.get("model") == CLAUDE and path == "/v1/messages":
        return  # the embedded Bedrock has no guardrail on InvokeModel; that it was asked for one is tested above
    text = ask(guarded[0], path, body).text
    words = ("content_filter", "refusal", "guardrail_intervened")
    assert any(word in text for word in words), text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": ["fine", "this is forbidden"]}),
        ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": "x", "documents": ["fine", "this is forbidden"]}),
    ],
)
def test_what_cannot_have_one_is_looked_at_before(guarded: tuple[str, RecordingBedrock], path: str, body: Any) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, path, body)
    assert answer.status_code == 400
    assert "guardrail" in answer.text
    assert [request.path for request in seen.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    fine = json.loads(json.dumps(body).replace(b"forbidden", b"allowed"))
    assert ask(base, path, fine).status_code == 200


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
def test_nor_may_its_own_body_pass_unseen(guarded: tuple[str, RecordingBedrock], model: str, body: Any) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, f"/model/{model}/invoke", body)
    assert (answer.status_code, "guardrail" in answer.text) == (400, True)
    assert [request.path for request in seen.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    fine = json.loads(json.dumps(body).replace(b"forbidden", b"allowed"))
    assert ask(base, f"/model/{model}/invoke", fine).status_code == 200
    for unseen in (
        {"images": ["data:image/png;base64,aGk="]},
        {"text": {"source": {"s3Location": {"uri": "s3://b/c"}}}},
    ):
        answer = ask(base, f"/model/{model}/invoke", {**fine, **unseen})
        assert (answer.status_code, "cannot look at this" in answer.text) == (400, True)


def test_a_conversation_behind_an_arn_is_left_to_bedrock_s_own_guardrail(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    for model in (f"{PROFILE}/{CLAUDE}", quote(f"{PROFILE}/{CLAUDE}", safe="")):
        seen.requests.clear()
        assert ask(base, f"/model/{model}/invoke", NATIVE).status_code == 200
        (request,) = seen.requests
        assert is_guarded(request)


CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
NATIVE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
MARKED = {"messages": [{"role": "user", "content": [{"text": "a"}, {"guardContent": {"text": {"text": "b"}}}]}]}


def told(content: list[Any]) -> dict[str, Any]:
    """A conversation in which a tool has told this."""
    use = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
    return {
        "messages": [
            {"role": "user", "content": [{"text": "ask the tool"}]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": content}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
    }


FORBIDDEN = "this is forbidden"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN_BYTES = encoded(FORBIDDEN)


@pytest.mark.parametrize(
    "content",
    [
        {"text": FORBIDDEN},
        {"json": {"said": [FORBIDDEN]}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": FORBIDDEN}]}},
        {"searchResult": {"source": "s", "title": FORBIDDEN, "content": [{"text": "x"}]}},
        {"document": {"format": "txt", "name": "d", "source": {"text": FORBIDDEN}}},
        {"document": {"format": "txt", "name": "d", "source": {"content": [{"text": FORBIDDEN}]}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": PLAIN_BYTES}}},
        {"document": {"format": "txt", "name": "d", "context": FORBIDDEN, "source": {"bytes": "aGk="}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("for&#98;idd&#x65;n")}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("for<b>bid</b>den")}}},
        {"document": {"format": "html", "name": "d", "source": {"bytes": encoded("<p title='for&#98;idden'>")}}},
        {"json": {FORBIDDEN: 1}},
    ],
)
def test_what_a_tool_tells_is_shown_to_it_too(guarded: tuple[str, RecordingBedrock], content: dict[str, Any]) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, f"/model/{ECHO}/converse", told([content]))
    assert answer.status_code == 400
    assert "guardrail" in answer.text
    assert [request.path for request in seen.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]
    assert ask(base, f"/model/{ECHO}/converse", told([{"text": "this is fine"}])).status_code == 200


def test_a_picture_that_a_tool_tells_is_shown_to_it(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    seen.requests.clear()
    picture = {"format": "png", "source": {"bytes": "aGk="}}
    ask(base, f"/model/{ECHO}/converse", told([{"image": picture}]))
    assert seen.requests[0].path == f"/guardrail/{GUARDRAIL}/version/7/apply"
    assert seen.requests[0].body == {"source": "INPUT", "content": [{"image": picture}]}


@pytest.mark.parametrize(
    "content",
    [
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": "/w=="}}},
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": PLAIN_BYTES}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "no base64"}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "\u00e9"}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": "YQBiAA=="}}},
        {"document": {"format": "txt", "name": "d", "source": {"bytes": f"eA=={PLAIN_BYTES}"}}},
        {"document": {"format": "pdf", "name": "d", "source": {"text": "ok", "bytes": PLAIN_BYTES}}},
        {"image": {"format": "png", "source": {"bytes": "aGk=", "s3Location": {"uri": "s3://a/b"}}}},
        {"image": {"format": "png", "source": {"bytes": "aGk="}, "error": {"message": FORBIDDEN}}},
        {"document": {"format": "pdf", "name": "d", "source": {"s3Location": {"uri": "s3://a/b"}}}},
        {"image": {"format": "gif", "source": {"bytes": "aGk="}}},
        {"video": {"format": "mp4", "source": {"bytes": "aGk="}}},
        {"somethingNew": {}},
    ],
)
def test_what_it_cannot_look_at_is_refused(guarded: tuple[str, RecordingBedrock], content: dict[str, Any]) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, f"/model/{ECHO}/converse", told([content]))
    assert (answer.status_code, seen.requests) == (400, [])
    assert "cannot look at this" in answer.json()["message"]


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A conversation in which the model is said to have said this."""
    turns = [{"role": "assistant", "content": [*blocks]}, {"role": "user", "content": [{"text": "go on"}]}]
    return {"messages": [{"role": "user", "content": [{"text": "hello"}]}, *turns]}


def asked(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"text": "hello"}, *blocks]}]}


PDF = {"format": "pdf", "name": "d", "source": {"bytes": "JVBERi0="}}


@pytest.mark.parametrize(
    "body",
    [
        said({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": ["b", FORBIDDEN]}}}),
        said({"toolUse": {"toolUseId": "t", "name": "f", "input": "this is\nforbidden"}}),
        said({"reasoningContent": {"reasoningText": {"text": FORBIDDEN, "signature": "s"}}}),
        said({"citationsContent": {"content": [{"text": FORBIDDEN}], "citations": []}}),
        said({"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": FORBIDDEN}]}}),
        asked({"toolResult": {"toolUseId": "t", "type": FORBIDDEN, "content": [{"text": "x"}]}}),
        asked({"document": {**PDF, "name": FORBIDDEN}}),
        asked({"document": {**PDF, "context": FORBIDDEN}}),
        asked({"document": {**PDF, "format": "txt", "source": {"text": FORBIDDEN}}}),
        asked({"searchResult": {"source": "s", "title": FORBIDDEN, "content": [{"text": "x"}]}}),
        {"promptVariables": {"a": {"text": FORBIDDEN}}},
    ],
)
def test_what_converse_s_own_guardrail_overlooks_is_shown_to_it(
    guarded: tuple[str, RecordingBedrock], body: dict[str, Any]
) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, f"/model/{ECHO}/converse", body)
    assert (answer.status_code, "blocked the input" in answer.text) == (400, True)
    assert [request.path for request in seen.requests] == [f"/guardrail/{GUARDRAIL}/version/7/apply"]


def test_a_word_in_a_document_of_json_is_shown_as_a_word(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    seen.requests.clear()
    ask(base, f"/model/{ECHO}/converse", told([{"json": {"a": ["b\tc", {"d": 5}], "e": None}}]))
    assert seen.requests[0].body["content"] == [{"text": {"text": "a\nb\tc\nd: 5\ne: null"}}]


@pytest.mark.parametrize(
    "body",
    [
        told([{"text": "ok", "json": {"a": FORBIDDEN}}]),
        told([{"text": "ok", "document": PDF}]),
        told([{"text": None, "image": {"format": "gif", "source": {"bytes": "aGk="}}}]),
        told({"text": FORBIDDEN}),  # type: ignore[arg-type]
        told([{"toolResult": {"toolUseId": "t2", "content": [{"text": FORBIDDEN}]}}]),
        {"messages": [{"role": "user", "content": {"toolResult": {"content": [{"text": FORBIDDEN}]}}}]},
        {"messages": {"role": "user", "content": [{"text": FORBIDDEN}]}},
        asked({"text": "ok", "toolResult": {"toolUseId": "t", "content": [{"text": FORBIDDEN}]}}),
        asked({"ToolResult": {"toolUseId": "t", "content": [{"text": FORBIDDEN}]}}),
        asked({"toolResult": [{"text": FORBIDDEN}]}),
        asked({"document": {**PDF, "source": {"text": "ok", "bytes": "JVBERi0="}}}),
        said({"reasoningContent": {"redactedContent": "aGk=", "reasoningText": {"text": FORBIDDEN}}}),
        {**asked(), "system": {"text": FORBIDDEN}},
        {**asked(), "system": [{"text": "ok", "cachePoint": {"type": "default"}}]},
        {**asked(), "system": [{"somethingNew": FORBIDDEN}]},
        {**asked(), "additionalModelRequestFields": {"system": FORBIDDEN}},
        {**asked(), "additionalModelRequestFields": {"messages": [{"role": "user", "content": FORBIDDEN}]}},
        {**asked(), "additionalModelRequestFields": [FORBIDDEN]},
    ],
)
def test_what_could_be_read_past_it_is_refused(guarded: tuple[str, RecordingBedrock], body: dict[str, Any]) -> None:
    base, seen = guarded
    seen.requests.clear()
    answer = ask(base, f"/model/{ECHO}/converse", body)
    assert (answer.status_code, seen.requests) == (400, [])


def test_what_says_nothing_passes_and_is_not_shown(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    seen.requests.clear()
    use = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
    body = {
        **said({"reasoningContent": {"redactedContent": "aGk="}}, use),
        "system": [{"text": "x"}, {"cachePoint": {"type": "default"}}],
        "additionalModelRequestFields": {"top_k": 5, "safe": True, "thinking": {"type": "disabled"}},
    }
    ask(base, f"/model/{ECHO}/converse", body)
    assert [request.path for request in seen.requests] == [f"/model/{ECHO}/converse"]


def test_invoke_model_says_what_it_sends(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    for given, sent in (({}, "application/json"), ({"content-type": "application/x"}, "application/x")):
        seen.requests.clear()
        httpx.post(f"{base}/model/{CLAUDE}/invoke", content=json.dumps(NATIVE), headers={**HEADERS, **given})
        assert seen.requests[0].headers["content-type"] == sent


@pytest.mark.parametrize("messages", [5, "x", [5], [{"content": 5}], [{"content": [5, {"toolResult": 5}]}]])
def test_what_cannot_be_read_is_bedrocks_to_refuse(guarded: tuple[str, RecordingBedrock], messages: Any) -> None:
    assert ask(guarded[0], f"/model/{ECHO}/converse", {"messages": messages}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": {"guardrailIdentifier": "other"}}, {}, 400),
        (f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": {"guardrailVersion": "1"}}, {}, 400),
        (f"/model/{ECHO}/converse-stream", {**CONVERSE, "guardrailConfig": {"streamProcessingMode": "async"}}, {}, 400),
        (f"/model/{ECHO}/converse", MARKED, {}, 400),
        (f"/model/{CLAUDE}/invoke", NATIVE, {"x-amzn-bedrock-guardrailidentifier": "other"}, 400),
        (f"/model/{CLAUDE}/invoke", {**NATIVE, "amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}, {}, 400),
        (f"/model/{ECHO}/converse", {**CONVERSE, "system": [{"guardContent": {"text": {"text": "b"}}}]}, {}, 400),
        (f"/model/{ECHO}/converse", told([{"guardContent": {"text": {"text": "b"}}}]), {}, 400),
        (f"/model/{ECHO}/converse", [], {}, 400),
        ("/async-invoke", {"modelId": ECHO, "modelInput": {}, "outputDataConfig": {}}, {}, 403),
    ],
)
def test_there_is_no_way_around_it(
    guarded: tuple[str, RecordingBedrock], path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    base, seen = guarded
    seen.requests.clear()
    assert ask(base, path, body, **headers).status_code == status
    assert seen.requests == []


def test_a_body_that_could_be_read_in_two_ways_is_no_way_around_it(guarded: tuple[str, RecordingBedrock]) -> None:
    twice = b'{"messages":[{"role":"user","content":[{"text":"x"}]}],"guardrailConfig":{},"guardrailConfig":{}}'
    answer = httpx.post(f"{guarded[0]}/model/{ECHO}/converse", content=twice, headers=HEADERS)
    assert answer.status_code == 400


def test_the_same_guardrail_may_be_named_and_traced(guarded: tuple[str, RecordingBedrock]) -> None:
    base, seen = guarded
    seen.requests.clear()
    config = {"guardrailIdentifier": GUARDRAIL, "guardrailVersion": "7", "trace": "enabled"}
    assert ask(base, f"/model/{ECHO}/converse", {**CONVERSE, "guardrailConfig": config}).status_code == 200
    assert seen.requests[0].body["guardrailConfig"] == config


def test_to_ask_it_is_no_attempt_at_the_model() -> None:
    records = Records()
    with (
        serving(emulator_app(), http=BreakableProtocol) as url,
        gateway(url, records, guardrail_id=GUARDRAIL, guardrail_version="7") as base,
    ):
        body = {"model": "amazon.titan-embed-text-v2:0", "input": "hello"}
        assert ask(base, "/v1/embeddings", body).status_code == 200
        assert ask(base, "/v1/embeddings", {**body, "input": "blocked"}).status_code in (200, 400)
    embedded = next(record for record in records.all if record.dialect)
    assert ([attempt.target for attempt in embedded.tries], embedded.has_moved) == ([body["model"]], False)


def test_a_guardrail_that_does_not_answer_lets_nothing_pass() -> None:

    with gateway(NOWHERE, guardrail_id=GUARDRAIL) as base:
        body = {"model": "amazon.titan-embed-text-v2:0", "input": "x"}
        assert ask(base, "/v1/embeddings", body).status_code == 502


@pytest.fixture(scope="module")
def unguarded(emulator_url: str) -> Iterator[tuple[str, Records]]:
    with gateway(emulator_url, records := Records(), guardrail_id="nobody") as base:
        yield base, records


@pytest.mark.parametrize(
    ("path", "body"), [*endpoints("hi"), ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"})]
)
def test_a_guardrail_that_is_not_there_is_nobodys_fault_but_ours(
    unguarded: tuple[str, Records], path: str, body: Any
) -> None:
    base, records = unguarded
    answer = ask(base, path, body)
    record = records.by_id(answer.headers["x-request-id"])
    if record.error == "permission":  # the operation cannot have one, and is refused before that
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
def test_what_the_guardrail_cannot_do_is_not_said_of_the_model(status: str, name: str, error: str) -> None:
    async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(b'{"message":"no"}', status, "application/json", f"x-amzn-errortype: {name}\r\n"))
        await writer.drain()

    with (
        upstream(fails) as url,
        gateway(url, records := Records(), guardrail_id=GUARDRAIL, bedrock_max_attempts=1) as base,
    ):
        answer = ask(base, "/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"})
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
def test_a_caller_who_speaks_of_guardrails_is_told_what_is_wrong(
    guarded: tuple[str, RecordingBedrock], path: str, body: Any
) -> None:
    assert ask(guarded[0], path, body).status_code == 400


def test_a_region_without_the_guardrail_is_left_alone_for_a_while(tmp_path: Path) -> None:
    seen = RecordingBedrock()
    path = tmp_path / "outcrop.toml"

    async def lacks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        refusal = b'{"message":"The provided guardrail identifier is invalid."}'
        extra = "x-amzn-errortype: ValidationException\r\nconnection: close\r\n"
        writer.write(http_reply(refusal, "400 Bad Request", "application/json", extra))
        await writer.drain()
        writer.close()

    asked: list[Any] = []
    with upstream(lacks) as elsewhere, serving(seen, http=BreakableProtocol) as bedrock:
        first = f'{{ model = "{ECHO}", region = "us-west-2", endpoint_url = "{elsewhere}" }}'
        path.write_text(f'[routes.smart]\ntargets = [{first}, {{ model = "{ECHO}" }}]\n')
        with gateway(bedrock, config_file=path, guardrail_id=GUARDRAIL) as base:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}
            assert [ask(base, "/v1/chat/completions", body).status_code for _ in range(3)] == [200] * 3
    assert len(asked) == 1
