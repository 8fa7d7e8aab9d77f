"""Errors of Bedrock name no account, role or ARN of the gateway, in any dialect."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app import errors
from app.dialects.http.hidden_identity import without_identity
from tests.servers import KEY, gateway, http_reply, read_request, upstream

ACCOUNT = "123456789012"
PRINCIPAL = f"arn:aws:sts::{ACCOUNT}:assumed-role/outcrop-prod-task/abcdef"
PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc"
DENIED = (
    f"User: {PRINCIPAL} is not authorized to perform: bedrock:InvokeModel on resource: {PROFILE}, by account {ACCOUNT}"
)
CHAT: Any = {"model": "a.b", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
REQUESTS: list[tuple[str, Any]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "stream": True}),
    ("/v1/responses", {"model": "a.b", "input": "x"}),
    ("/v1/messages", CHAT),
    ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"}),
    ("/v2/rerank", {"model": "cohere.rerank-v3-5:0", "query": "x", "documents": ["x"]}),
    ("/model/a.b/converse", {}),
    ("/model/a.b/converse-stream", {}),
    ("/model/a.b/invoke", {}),
]
SECRETS = (ACCOUNT, "outcrop-prod-task", "arn:")


@pytest.fixture(params=["403 AccessDeniedException", "400 ValidationException"])
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    status, name = request.param.split()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = json.dumps({"message": DENIED, "count": 123456789012}).encode()
        writer.write(http_reply(body, f"{status} No", extra=f"x-amzn-errortype: {name}\r\n"))
        await writer.drain()

    with upstream(handle) as url:
        yield url


def test_no_dialect_names_the_identity_of_the_gateway(refusing: str) -> None:
    """Finding M7: Bedrock's 403 and 400 named the role and the account to every key holder."""
    with gateway(refusing) as base:
        for path, body in REQUESTS:
            answer = httpx.post(base + path, json=body, headers={"x-api-key": KEY})
            text = answer.text.replace('"count": 123456789012', "")
            assert answer.status_code in (400, 403), path
            assert "bedrock:InvokeModel" in text, path
            assert [secret for secret in SECRETS if secret in text] == [], path
    with gateway(refusing, expose_aws_identity=True) as base:
        answer = httpx.post(f"{base}/model/a.b/converse", json={}, headers={"x-api-key": KEY})
        assert answer.json()["message"] == DENIED


def test_the_arn_of_the_default_model_is_hidden(emulator_url: str) -> None:
    """Finding M7: the list of models and answers named the ARN of BEDROCK_MODEL_ID."""
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/scripted.echo-v1:0"
    nameless = {name: value for name, value in CHAT.items() if name != "model"}
    with (
        gateway(emulator_url, bedrock_model_id=arn) as base,
        httpx.Client(base_url=base, headers={"x-api-key": KEY}) as client,
    ):
        answers = [
            client.get("/v1/models"),
            client.get("/v1/models/default"),
            client.post("/v1/chat/completions", json=nameless),
            client.post("/v1/responses", json={"input": "x"}),
        ]
        named = client.post("/v1/chat/completions", json={**CHAT, "model": arn})
    assert [(answer.status_code, ACCOUNT in answer.text) for answer in answers] == [(200, False)] * 4
    assert "default" in [model["id"] for model in answers[0].json()["data"]]
    assert (named.status_code, named.json()["model"]) == (200, arn)
    with gateway(emulator_url, bedrock_model_id=arn, expose_aws_identity=True) as base:
        assert arn in httpx.get(f"{base}/v1/models", headers={"x-api-key": KEY}).text


def test_the_arn_of_the_default_model_of_embeddings_is_hidden(emulator_url: str) -> None:
    """Finding M7: answers and errors named the ARN of EMBEDDING_MODEL_ID."""
    for model, status in (("amazon.titan-embed-text-v2:0", 200), ("no.such-model", 404)):
        arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/{model}"
        with gateway(emulator_url, embedding_model_id=arn) as base:
            answer = httpx.post(f"{base}/v1/embeddings", json={"input": "x"}, headers={"x-api-key": KEY})
        assert (answer.is_success, ACCOUNT in answer.text) == (status == 200, False), answer.text


def test_the_arn_of_a_model_that_the_caller_named_stays() -> None:
    error = errors.PermissionRefused(f"not authorized: {PROFILE}.")
    assert without_identity(error, f"/model/{quote(PROFILE, safe='')}/converse", "").message == error.message
    assert without_identity(error, "/v1/messages", PROFILE).message == error.message
    assert without_identity(error, "/v1/messages", "a.b").message == "not authorized: [hidden]."
    # a caller cannot confirm a guess of the role
    error = errors.PermissionRefused(f"{PRINCIPAL} may not")
    assert without_identity(error, "/", PRINCIPAL).message == "[hidden] may not"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (f'{{"m":"on {PRINCIPAL}"}}', '{"m":"on [hidden]"}'),
        (r'{"m":"\"arn:aws:iam::123456789012:role\/a\/b\""}', r'{"m":"\"[hidden]\""}'),
        ('{"accountId":"123456789012"}', '{"accountId":"[hidden]"}'),
        ('{"m":"AROAABCDEFGHIJKLMNOPQ:session is"}', '{"m":"[hidden] is"}'),
        ('{"m":"arn:aws:bedrock:us-east-1::foundation-model/a.b \u00e9"}',) * 2,
    ],
)
def test_only_the_identity_in_a_body_changes(body: str, shown: str) -> None:
    reply = errors.UpstreamReply(400, (("x-amzn-errormessage", PRINCIPAL),), body.encode())
    hidden = without_identity(errors.InvalidRequest("m", upstream=reply), "/", "").upstream
    assert hidden == errors.UpstreamReply(400, (("x-amzn-errormessage", "[hidden]"),), shown.encode())
