"""The wire: raw requests, malformed ones too, signatures, faults, and frames as they were recorded."""

import json
import random
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError

from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.stream_writers import FrameWriter
from app.wire.eventstream import FrameDecoder

pytestmark = pytest.mark.loopback

MESSAGES: Any = [{"role": "user", "content": [{"text": "hello there"}]}]
ANTHROPIC: Any = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "hi"}],
}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def post(url: str, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(url + path, content=content, headers={"authorization": f"Bearer {BEARER}", **headers}, timeout=20)


def converse(url: str, model: str, operation: str = "converse", **more: Any) -> httpx.Response:
    return post(url, f"/model/{model}/{operation}", {"messages": MESSAGES, **more})


@pytest.mark.parametrize(
    "scene", ["echo", "long", "thinking", "redacted", "citations", "servertool", "silent", "guarded", "cached", "media"]
)
def test_a_stream_folds_to_what_converse_says(bedrock: Any, scene: str) -> None:
    model = f"scripted.{scene}-v1:0"
    whole = bedrock.converse(modelId=model, messages=MESSAGES)
    stream = bedrock.converse_stream(modelId=model, messages=MESSAGES)["stream"]
    from app.converse.fold import fold

    folded: Any = fold(list(stream))
    stream.close()
    assert folded["output"] == whole["output"]
    assert folded["stopReason"] == whole["stopReason"]
    assert folded["usage"] == whole["usage"]


def test_frames_are_written_as_recorded() -> None:
    (frame,) = FrameDecoder().feed(
        FrameWriter(b"seed").event("contentBlockDelta", {"delta": {"text": "ü"}, "contentBlockIndex": 0})
    )
    assert list(frame.headers.items()) == [
        (":event-type", "contentBlockDelta"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ]
    assert frame.payload.startswith('{"contentBlockIndex":0,"delta":{"text":"ü"},"p":"abc'.encode()[:49])
    padding = json.loads(frame.payload)["p"]
    assert 2 <= len(padding) <= 61
    assert FrameWriter(b"seed").event("a", {}) == FrameWriter(b"seed").event("a", {})


def test_errors_have_aws_s_headers(url: str) -> None:
    answer = converse(url, "no.model")
    assert answer.status_code == 400
    assert (
        answer.headers["x-amzn-errortype"] == "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"
    )
    assert answer.headers["x-amzn-requestid"]
    assert answer.json() == {"message": "The provided model identifier is invalid."}


def test_an_unknown_operation_is_answered_as_aws_does(url: str) -> None:
    answer = post(url, "/model/x/nothing", {})
    assert (answer.status_code, answer.json()["Output"]["__type"]) == (
        200,
        "com.amazon.coral.service#UnknownOperationException",
    )


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"authorization": ""}, "Authorization header is missing"),
        ({"authorization": "Bearer wrong"}, "Authentication failed"),
        (
            {
                "authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=é"
            },
            "security token",
        ),
        ({"authorization": "nonsense"}, "security token"),
    ],
)
def test_strangers_are_refused(url: str, headers: dict[str, str], words: str) -> None:
    answer = httpx.post(
        f"{url}/model/x/converse", headers={name: value.encode("latin-1") for name, value in headers.items()}
    )  # type: ignore[misc]
    assert answer.status_code == 403
    assert words in answer.text


def signed(url: str, body: bytes, extra: dict[str, str] | None = None, service: str = "bedrock") -> dict[str, str]:
    request = AWSRequest("POST", f"{url}/model/scripted.echo-v1%3A0/converse", headers=extra, data=body)
    request.headers["host"] = urlsplit(url).netloc
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def test_a_signature_covers_the_body(url: str) -> None:
    body = json.dumps({"messages": MESSAGES}).encode()
    path = f"{url}/model/scripted.echo-v1%3A0/converse"
    assert httpx.post(path, content=body, headers=signed(url, body)).status_code == 200
    for headers in (
        signed(url, b"{}"),
        signed(url, body, {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}),
        signed(url, body, service="s3"),
        {**signed(url, body), "x-amz-date": "20200101T000000Z"},
    ):
        answer = httpx.post(path, content=body, headers=headers)
        assert answer.status_code == 403
        assert answer.headers["x-amzn-errortype"].startswith("InvalidSignatureException")


MALFORMED: list[tuple[str, Any]] = [
    ("converse", b"{"),
    ("converse", [1]),
    ("converse", 5),
    ("converse", {"messages": "x"}),
    ("converse", {"messages": [5]}),
    ("converse", {"messages": {"a": 1}}),
    ("converse", {"messages": [{"role": "user", "content": [{}]}]}),
    ("converse", {"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]}),
    ("converse", {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "%"}}}]}]}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 1.5}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 2**31}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"temperature": "warm"}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": [1]}),
    ("converse", {"messages": MESSAGES, "requestMetadata": [1]}),
    ("converse", {"messages": MESSAGES, "toolConfig": {"tools": [{"toolSpec": {"name": "t"}}]}}),
    ("count-tokens", {"input": {}}),
    ("count-tokens", {}),
    ("invoke", b"nope"),
    ("invoke", {}),
    ("invoke", [1]),
    *[
        ("invoke", {**ANTHROPIC, "messages": value})
        for value in (
            None,
            True,
            "x",
            [None],
            [{}],
            [{"role": "user"}],
            [[]],
            [],
            [{"role": "assistant", "content": "x"}],
        )
    ],
    *[
        ("invoke", {**ANTHROPIC, "messages": [{"role": "user", "content": value}]})
        for value in (1.5, [None], ["x"], {"a": 1}, [{"type": "wizard"}])
    ],
    *[("invoke", {**ANTHROPIC, "system": value}) for value in (1e3, [None], ["x"], [{"type": "text"}])],
    *[
        ("invoke", {**ANTHROPIC, "tools": value})
        for value in ([None], [{}], [{"name": "x"}], [{"type": "web_search_20250305", "name": "w"}])
    ],
    ("invoke", {**ANTHROPIC, "tools": [{"name": "x", "input_schema": {"type": "object"}}], "tool_choice": "x"}),
    ("invoke", {**ANTHROPIC, "extra": 1}),
    ("invoke", {"anthropic_version": "x", "messages": []}),
]


@pytest.mark.parametrize(("operation", "body"), MALFORMED)
def test_malformed_input_is_refused_and_never_a_fault(url: str, operation: str, body: Any) -> None:
    model = "anthropic.claude-sonnet-4-20250514-v1:0" if operation == "invoke" else "scripted.echo-v1:0"
    answer = post(url, f"/model/{model}/{operation}", body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-amzn-errortype"].partition(":")[0] in ("ValidationException", "SerializationException")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "a", "dimensions": 7}),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}),
        ("amazon.titan-embed-text-v1", [1]),
        ("cohere.embed-v4:0", {"texts": ["a"], "input_type": "x", "output_dimension": 2**70}),
        ("cohere.embed-v4:0", {"texts": ["a"]}),
        ("cohere.embed-english-v3", {"texts": [1], "input_type": "x"}),
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"singleEmbeddingParams": "a"}),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"singleEmbeddingParams": {"text": {"value": "x"}, "embeddingDimension": 2**70}},
        ),
    ],
)
def test_embeddings_out_of_bounds(url: str, model: str, body: Any) -> None:
    assert post(url, f"/model/{model}/invoke", body).status_code == 400


@pytest.mark.parametrize(
    ("model", "body", "vector"),
    [
        ("amazon.titan-embed-text-v1", {"inputText": "a"}, lambda got: got["embedding"]),
        (
            "amazon.titan-embed-text-v2:0",
            {"inputText": "a", "dimensions": 256},
            lambda got: got["embeddingsByType"]["float"],
        ),
        (
            "cohere.embed-english-v3",
            {"texts": ["a", "b"], "input_type": "search_query"},
            lambda got: got["embeddings"][0],
        ),
        (
            "cohere.embed-v4:0",
            {"texts": ["a"], "input_type": "search_query", "output_dimension": 512},
            lambda got: got["embeddings"]["float"][0],
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"singleEmbeddingParams": {"text": {"value": "a"}}},
            lambda got: got["embeddings"][0]["embedding"],
        ),
    ],
)
def test_embeddings(url: str, model: str, body: Any, vector: Any) -> None:
    answer = post(url, f"/model/{model}/invoke", body)
    values = vector(answer.json())
    assert sum(value * value for value in values) == pytest.approx(1)
    assert len(values) in (256, 512, 1024, 1536, 3072)
    assert int(answer.headers["x-amzn-bedrock-input-token-count"]) > 0
    assert post(url, f"/model/{model}/invoke", body).json() == answer.json()
    with_stream = post(url, f"/model/{model}/invoke-with-response-stream", body)
    assert with_stream.status_code == 400


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("throttle", 429, "ThrottlingException"),
        ("internal", 500, "InternalServerException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("notready", 429, "ModelNotReadyException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("modelerror", 424, "ModelErrorException"),
        ("denied", 403, "AccessDeniedException"),
        ("quota", 400, "ServiceQuotaExceededException"),
        ("toolong", 400, "ValidationException"),
        ("notfound", 404, "ResourceNotFoundException"),
        ("expired", 403, "ExpiredTokenException"),
        ("retryafter-3", 429, "ThrottlingException"),
    ],
)
@pytest.mark.parametrize("operation", ["converse", "converse-stream", "count-tokens"])
def test_faults_before_the_answer(url: str, fault: str, status: int, name: str, operation: str) -> None:
    body = {"input": {"converse": {"messages": MESSAGES}}} if operation == "count-tokens" else {"messages": MESSAGES}
    answer = post(url, f"/model/scripted.echo-v1:0.{fault}/{operation}", body)
    assert answer.status_code == status
    assert answer.headers["x-amzn-errortype"].startswith(f"{name}:")
    assert answer.headers.get("retry-after") == ("3" if fault == "retryafter-3" else None)


def test_a_fault_ends_after_its_number(url: str) -> None:
    more = {"system": [{"text": str(random.random())}]}
    assert [converse(url, "scripted.echo-v1:0.throttle-2", **more).status_code for _ in range(3)] == [429, 429, 200]


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_a_reset_answers_with_no_byte(url: str, operation: str) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        converse(url, "scripted.echo-v1:0.reset", operation)
    more = {"system": [{"text": str(random.random())}]}
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        converse(url, "scripted.echo-v1:0.reset-1", operation, **more)
    assert converse(url, "scripted.echo-v1:0.reset-1", operation, **more).status_code == 200


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_garbage(url: str, operation: str) -> None:
    answer = converse(url, "scripted.echo-v1:0.garbage", operation)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("exception-2", "internalServerException"),
        ("throttlemid-2", "throttlingException"),
        ("modelstream-2", "modelStreamErrorException"),
    ],
)
def test_exceptions_in_a_stream(bedrock: Any, fault: str, kind: str) -> None:
    stream = bedrock.converse_stream(modelId=f"scripted.long-v1:0.{fault}", messages=MESSAGES)["stream"]
    seen = []
    with pytest.raises(EventStreamError, match=kind):
        seen.extend(stream)
    stream.close()
    assert len(seen) == 2


def test_streams_that_break(url: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        converse(url, "scripted.long-v1:0.cut-2", "converse-stream")
    decoder = FrameDecoder()
    assert len(decoder.feed(converse(url, "scripted.long-v1:0.stop-2", "converse-stream").content)) == 2
    assert decoder.is_at_boundary
    assert len(FrameDecoder().feed(converse(url, "scripted.long-v1:0.badcrc-2", "converse-stream").content)) == 2
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{url}/model/scripted.long-v1:0.stall-2/converse-stream",
            json={"messages": MESSAGES},
            headers={"authorization": f"Bearer {BEARER}"},
            timeout=0.3,
        )
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{url}/model/scripted.echo-v1:0.never/converse",
            json={"messages": MESSAGES},
            headers={"authorization": f"Bearer {BEARER}"},
            timeout=0.3,
        )


def test_slowness(url: str) -> None:
    assert converse(url, "scripted.echo-v1:0.slow-200").elapsed.total_seconds() >= 0.2
    assert converse(url, "scripted.echo-v1:0.drip-50", "converse-stream").elapsed.total_seconds() >= 0.2
    assert converse(url, "scripted.slow-v1:0").elapsed.total_seconds() >= 0.2


def invoke(bedrock: Any, model: str = CLAUDE, **more: Any) -> Any:
    return json.loads(bedrock.invoke_model(modelId=model, body=json.dumps({**ANTHROPIC, **more}))["body"].read())


TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


def test_anthropic_bodies(bedrock: Any) -> None:
    plain = invoke(
        bedrock,
        messages=[{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
        system="s",
    )
    assert plain["content"] == [{"type": "text", "text": "a\nb"}]
    assert (plain["stop_reason"], plain["stop_sequence"]) == ("end_turn", None)
    stopped = invoke(bedrock, stop_sequences=["i"])
    assert (stopped["stop_reason"], stopped["stop_sequence"], stopped["content"][0]["text"]) == (
        "stop_sequence",
        "i",
        "h",
    )
    called = invoke(bedrock, tools=[TOOL], tool_choice={"type": "any"})
    assert called["stop_reason"] == "tool_use"
    (call,) = called["content"]
    assert (call["name"], call["input"]) == ("look", {"q": "sample"})
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": called["content"]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny", "is_error": False}],
        },
    ]
    assert invoke(bedrock, tools=[TOOL], messages=history)["content"][0]["text"] == "The tools said: sunny"
    reminded = [*history, {"role": "system", "content": "Be brief."}]
    answer = invoke(bedrock, "us.anthropic.claude-sonnet-5", tools=[TOOL], messages=reminded)
    assert answer["content"][0]["text"] == "The tools said: sunny"
    assert invoke(bedrock, tools=[TOOL], tool_choice={"type": "none"})["content"] == [{"type": "text", "text": "hi"}]
    assert invoke(bedrock, tools=[TOOL], tool_choice={"type": "tool", "name": "look"})["stop_reason"] == "tool_use"
    shaped = invoke(
        bedrock,
        output_config={
            "format": {
                "type": "json_schema",
                "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
            }
        },
    )
    assert shaped["content"][0]["text"] == '{"a":7}'
    thought = invoke(bedrock, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block["type"] for block in thought["content"]] == ["thinking", "text"]
    back = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": thought["content"]},
        {"role": "user", "content": "on"},
    ]
    assert invoke(bedrock, messages=back)["content"][0]["text"] == "on"


@pytest.mark.parametrize("scene", ["redacted", "citations", "servertool", "cached", "malformed", "guarded"])
def test_anthropic_scenes(bedrock: Any, scene: str) -> None:
    message = invoke(bedrock, f"scripted.{scene}-v1:0")
    expected = {
        "redacted": lambda: message["content"][0]["type"] == "redacted_thinking",
        "citations": lambda: message["content"][1]["citations"][0]["document_title"] == "a document",
        "servertool": lambda: (
            [block["type"] for block in message["content"]] == ["server_tool_use", "code_execution_tool_result", "text"]
        ),
        "cached": lambda: (
            (message["usage"]["cache_read_input_tokens"], message["usage"]["cache_creation_input_tokens"])
            == (1200, 300)
        ),
        "malformed": lambda: message["stop_reason"] == "end_turn",
        "guarded": lambda: message["stop_reason"] == "refusal",
    }
    assert expected[scene]()


def test_documents_and_results_in_anthropic_bodies(bedrock: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(b"x").decode()}
    content = [
        {"type": "image", "source": source},
        {"type": "document", "source": {"type": "text", "data": "t"}},
        {"type": "search_result", "title": "t"},
        {"type": "text", "text": "look"},
    ]
    assert invoke(bedrock, messages=[{"role": "user", "content": content}])["content"][0]["text"] == "look"


def test_counting(bedrock: Any, url: str) -> None:
    body = json.dumps(ANTHROPIC).encode()
    base = "anthropic.claude-sonnet-4-20250514-v1:0"
    counted = bedrock.count_tokens(modelId=base, input={"invokeModel": {"body": body}})["inputTokens"]
    assert counted == invoke(bedrock, base)["usage"]["input_tokens"]
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        bedrock.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})


def test_guardrails(bedrock: Any) -> None:
    def apply(text: str, guardrail: str = "outcropguard") -> Any:
        return bedrock.apply_guardrail(
            guardrailIdentifier=guardrail, guardrailVersion="1", source="INPUT", content=[{"text": {"text": text}}]
        )

    assert apply("fine")["action"] == "NONE"
    assert apply("a Forbidden word")["action"] == "GUARDRAIL_INTERVENED"
    assert apply("x", "arn:aws:bedrock:us-east-1:123456789012:guardrail/outcropguard")["action"] == "NONE"
    with pytest.raises(ClientError, match="guardrail identifier is invalid"):
        apply("x", "nobody")
    config = {"guardrailIdentifier": "outcropguard", "guardrailVersion": "1"}
    messages: Any = [{"role": "user", "content": [{"text": "forbidden"}]}]
    assert (
        bedrock.converse(modelId="scripted.echo-v1:0", messages=messages, guardrailConfig=config)["stopReason"]
        == "guardrail_intervened"
    )


def test_tiers_and_extra_fields_come_back(bedrock: Any) -> None:
    reply = bedrock.converse(
        modelId="scripted.echo-v1:0",
        messages=MESSAGES,
        serviceTier={"type": "flex"},
        inferenceConfig={"stopSequences": ["there", "h"]},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )
    assert reply["serviceTier"] == {"type": "flex"}
    assert (reply["stopReason"], reply["additionalModelResponseFields"]) == ("stop_sequence", {"stop_sequence": "h"})
    assert reply["output"]["message"]["content"] == []


@pytest.mark.parametrize("query", ["maxResults=abc", "maxResults=0", "nextToken=-3"])
def test_paging_out_of_bounds(url: str, query: str) -> None:
    assert (
        httpx.get(f"{url}/inference-profiles?{query}", headers={"authorization": f"Bearer {BEARER}"}).status_code == 400
    )


def test_the_control_plane(url: str) -> None:
    def get(path: str) -> httpx.Response:
        return httpx.get(url + path, headers={"authorization": f"Bearer {BEARER}"})

    assert get("/foundation-models?byOutputModality=EMBEDDING&byInferenceType=ON_DEMAND").json()["modelSummaries"]
    assert get("/inference-profiles?type=APPLICATION").json() == {"inferenceProfileSummaries": []}
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Famazon.nova-pro-v1%3A0"
    assert get(f"/inference-profiles/{arn}").json()["type"] == "APPLICATION"
    for missing in ("/foundation-models/nothing", "/inference-profiles/nothing"):
        assert (get(missing).status_code, "message" in get(missing).json()) == (404, True)
