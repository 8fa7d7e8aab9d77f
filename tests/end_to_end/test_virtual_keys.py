"""Virtual keys: who is identified by them, which models and lengths they allow, and what one key leaves to others."""

import base64
import contextlib
import logging
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from botocore.exceptions import ClientError
from msgspec import Struct

from app.governance.identity.key_secrets import hash_of, new_secret
from app.observability.logs import LogObserver
from app.storage.database import Database
from app.storage.key_changes import touched
from app.storage.records import Key, Limit, new_id
from app.storage.repository import limits
from tests.end_to_end.conftest import Records, boto_client
from tests.end_to_end.recording import RecordingBedrock
from tests.keys import PEPPER, new_key, within
from tests.servers import KEY, HoldingBedrock, gateway, serving, upstream

pytestmark = pytest.mark.database

ECHO, CLAUDE, NOVA = "scripted.echo-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-pro-v1:0"
GPT, GPT55, GLM = "openai.gpt-oss-120b-1:0", "openai.gpt-5.5", "zai.glm-4.6"
ARN = "arn:aws:bedrock:us-east-1::foundation-model/"
TURN: Any = {"role": "user", "content": "hi"}
CONVERSE: Any = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}


class Served(Struct):
    """A gateway with a database. url: of the gateway; database: its URL."""

    url: str
    database: str
    bedrock: RecordingBedrock
    records: Records

    def key(self, **more: Any) -> tuple[str, Key]:
        return new_key(self.database, **more)

    def post(self, path: str, body: Any, text: str, **headers: str) -> httpx.Response:
        return httpx.post(
            self.url + path, json=body, headers={"authorization": f"Bearer {text}", **headers}, timeout=20
        )

    def get(self, path: str, text: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {text}", **headers}, timeout=20)

    def body_of(self, path: str, body: Any, text: str) -> Any:
        """Return the body that Bedrock gets for a request, and the response."""
        self.bedrock.requests.clear()
        answer = self.post(path, body, text)
        assert answer.status_code == 200, answer.text
        return self.bedrock.requests[-1].body, answer


def database_settings(folder: Path) -> dict[str, Any]:
    return {"database_url": f"sqlite:///{folder}/outcrop.db", "key_pepper": PEPPER}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings, records, bedrock = database_settings(tmp_path_factory.mktemp("keys")), Records(), RecordingBedrock()
    aliases = f"fast={NOVA},smart={CLAUDE}"
    with (
        serving(bedrock) as behind,
        gateway(behind, records, retry_budget=10, model_aliases=aliases, **settings) as url,
    ):
        yield Served(url, settings["database_url"], bedrock, records)


def test_a_secret_is_a_bearer_key_an_api_key_and_a_pair_for_signing(served: Served) -> None:
    text, key = served.key()
    body = {"model": ECHO, "messages": [TURN]}
    by_bearer = served.post("/v1/chat/completions", body, text)
    by_header = httpx.post(f"{served.url}/v1/chat/completions", json=body, headers={"x-api-key": text})
    with boto_client(served.url, name=key.id, secret=text) as client:
        by_signature = client.converse(modelId=ECHO, messages=CONVERSE["messages"])
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=text, max_retries=0) as sdk:
        assert sdk.chat.completions.create(model=ECHO, messages=[TURN]).choices[0].message.content
    with anthropic.Anthropic(base_url=served.url, api_key=text, max_retries=0) as other:
        assert other.messages.create(model=ECHO, max_tokens=9, messages=[TURN]).content
    assert (by_bearer.status_code, by_header.status_code) == (200, 200)
    ids = [by_bearer.headers["x-request-id"], by_header.headers["x-request-id"]]
    ids.append(by_signature["ResponseMetadata"]["HTTPHeaders"]["x-request-id"])
    assert [served.records.by_id(request_id).caller for request_id in ids] == [key.id] * 3
    record = served.records.by_id(ids[0])
    assert (record.team, record.key_name) == (key.team_id, "ci")
    # beside the keys of the environment
    assert served.post("/v1/chat/completions", body, KEY).status_code == 200
    with boto_client(served.url) as client:
        assert client.converse(modelId=ECHO, messages=CONVERSE["messages"])["stopReason"] == "end_turn"


def test_other_secrets_are_refused_in_the_dialect(served: Served) -> None:
    text, key = served.key()
    unknown, _ = new_secret(new_id(), PEPPER.encode())
    for wrong in (unknown, text[:-1] + ("a" if text[-1] != "a" else "b"), f"oc_{key.id}"):
        answer = served.post("/v1/chat/completions", {"model": ECHO, "messages": [TURN]}, wrong)
        assert (answer.status_code, answer.json()["error"]["message"]) == (401, "incorrect API key")
        answer = served.post("/v1/messages", {"model": ECHO, "max_tokens": 1, "messages": [TURN]}, wrong)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    for name, secret in ((key.id, unknown), (new_id(), text), (key.id, text[30:])):
        with boto_client(served.url, name=name, secret=secret) as client, pytest.raises(ClientError) as caught:
            client.converse(modelId=ECHO, messages=CONVERSE["messages"])
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_the_log_says_that_the_pepper_may_be_another_one(emulator_url: str, records: Records, tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    text, _ = new_key(settings["database_url"])
    with gateway(emulator_url, records, **settings, api_keys=None) as url:
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": text}).status_code == 200
    with gateway(emulator_url, records, **{**settings, "key_pepper": PEPPER[::-1]}, api_keys=None) as url:
        for wrong in (text, "sk-of-another-service"):
            answer = httpx.get(f"{url}/v1/models", headers={"x-api-key": wrong})
            assert (answer.status_code, "KEY_PEPPER" in answer.text) == (401, False)
    assert ["KEY_PEPPER" in each.detail for each in records.all[-2:]] == [True, False]


def test_guessed_key_ids_do_not_reach_the_database(emulator_url: str, tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    text, key = new_key(settings["database_url"])
    with gateway(emulator_url, **settings) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            # quickly, since one more may fail each second
            codes = [
                client.post(f"/model/{ECHO}/converse", json=CONVERSE, headers=signed_by(new_id())).status_code
                for _ in range(25)
            ]
        assert codes[:20] == [401] * 20
        assert 429 in codes
        # a genuine secret is read all the same
        answer = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 200
        assert key.id


def signed_by(key_id: str) -> dict[str, str]:
    """Return the headers of a signed request whose signature nobody can have made."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{key_id}/{now[:8]}/us-east-1/bedrock/aws4_request"
    signature = f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    return {"x-amz-date": now, "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, {signature}"}


def test_with_a_database_no_key_of_the_environment_is_needed(emulator_url: str, tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    text, _ = new_key(settings["database_url"])
    with gateway(emulator_url, api_keys=None, **settings) as url:
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": text}).status_code == 200
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": KEY}).status_code == 401


def requests_naming(model: str) -> list[tuple[str, str, Any]]:
    """Return a request of each endpoint that names a model."""
    chat = {"model": model, "messages": [TURN]}
    native = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [TURN]}
    found = [
        ("POST", "/v1/chat/completions", chat),
        ("POST", "/v1/chat/completions", {**chat, "stream": True}),
        ("POST", "/v1/responses", {"model": model, "input": "hi"}),
        ("POST", "/v1/responses", {"model": model, "input": "hi", "stream": True}),
        ("POST", "/v1/responses", {"model": model, "input": "hi", "background": True}),
        ("POST", "/v1/responses/compact", {"model": model, "input": "hi"}),
        ("POST", "/v1/responses/input_tokens", {"model": model, "input": "hi"}),
        ("POST", "/v1/messages", {**chat, "max_tokens": 9}),
        ("POST", "/v1/messages", {**chat, "max_tokens": 9, "stream": True}),
        ("POST", "/v1/messages/count_tokens", chat),
        ("POST", "/v1/embeddings", {"model": model, "input": "hi"}),
        ("POST", "/v1/rerank", {"model": model, "query": "q", "documents": ["d"]}),
        ("POST", "/v2/rerank", {"model": model, "query": "q", "documents": ["d"]}),
        ("POST", f"/model/{model}/converse", CONVERSE),
        ("POST", f"/model/{model}/converse-stream", CONVERSE),
        ("POST", f"/model/{model}/invoke", native),
        ("POST", f"/model/{model}/invoke-with-response-stream", native),
        ("POST", f"/model/{model}/count-tokens", {"input": {"converse": CONVERSE}}),
        ("POST", "/async-invoke", {"modelId": model, "modelInput": {}}),
        ("GET", f"/foundation-models/{model}", None),
        ("GET", f"/inference-profiles/{model}", None),
        ("GET", f"/v1/models/{model}", None),
    ]
    prefixed = [(method, prefix + path, body) for method, path, body in found if path.startswith("/v1/")
                for prefix in ("/openai", "/anthropic", "/api")]  # fmt: skip
    return [*found, *prefixed]


# endpoints that name no model
WITHOUT_MODEL = {
    "/guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply",
    "/guardrail-checks/invoke",
    "/async-invoke/{invocationArn}",
    "/foundation-models",
    "/inference-profiles",
    "/v1/limits",
    "/v1/models",
    "/v1/usage",
}
OF_OPERATORS = ("/admin", "/health", "/metrics", "/v1/organizations")


@pytest.mark.parametrize(
    "model", [CLAUDE, f"us.{CLAUDE}", "smart", "claude-3-haiku-20240307", GPT55, f"bedrock/{CLAUDE}"]
)
def test_a_model_that_is_not_allowed_is_refused_on_every_path(served: Served, model: str) -> None:
    text, _ = served.key(models=[f"{NOVA}*", "fast"])
    served.bedrock.requests.clear()
    served_paths = 0
    for method, path, body in requests_naming(model):
        answer = httpx.request(
            method, served.url + path, json=body, headers={"authorization": f"Bearer {text}"}, timeout=20
        )
        if answer.status_code == 404 and "there is no" in answer.text and "/v1/" in path[1:]:
            continue  # a prefix that the endpoint does not have
        served_paths += 1
        assert answer.status_code in (403, 404), (path, answer.status_code, answer.text)
        assert "may not call the model" in answer.text or "/models/" in path, (path, answer.text)
    assert served_paths > 22
    assert served.bedrock.requests == []


def test_every_endpoint_that_names_a_model_is_in_that_test(served: Served) -> None:
    document = served.get("/openapi.json", KEY).json()
    known = {path for _, path, _ in requests_naming("M")}
    patterns = {path.replace("/M/", "/{modelId}/").replace("/M", "/{}") for path in known}
    for path, methods in document["paths"].items():
        if path.startswith(OF_OPERATORS) or path in WITHOUT_MODEL:
            continue
        if path.startswith("/v1/responses/{"):
            continue  # what is stored belongs to its caller
        shape = path if "{modelId}" in path else path.split("{")[0] + ("{}" if "{" in path else "")
        assert shape in patterns, (path, [*methods])


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        (["fast"], ["fast"], [NOVA, f"us.{NOVA}", "smart", CLAUDE]),
        ([NOVA], [NOVA, f"us.{NOVA}", "fast", f"bedrock/{NOVA}"], [CLAUDE, "smart"]),
        (["us.amazon.*"], [f"us.{NOVA}"], [NOVA, "fast"]),
        (["claude-3-haiku"], [CLAUDE, "smart", "claude-3-haiku-20240307"], [NOVA]),
        (["*"], [NOVA, CLAUDE, "fast", ARN + NOVA], []),
        (
            ["*haiku*"],
            [CLAUDE, ARN + CLAUDE],
            [f"arn:aws-haiku:bedrock:us-east-1::x/{NOVA}", f"arn:aws:bedrock:us-east-1:1:haiku/{NOVA}"],
        ),
        ([ARN + "*"], [ARN + NOVA], [NOVA]),
        ([], [], [NOVA, CLAUDE, "fast", "smart"]),
    ],
)
def test_patterns_match_ids_geographies_aliases_and_short_names(
    served: Served, patterns: list[str], allowed: list[str], refused: list[str]
) -> None:
    text, _ = served.key(models=patterns)
    for model in allowed:
        answer = served.post("/v1/chat/completions", {"model": model, "messages": [TURN]}, text)
        assert answer.status_code == 200, (model, answer.text)
    for model in refused:
        answer = served.post("/v1/chat/completions", {"model": model, "messages": [TURN]}, text)
        assert answer.status_code == 403, (model, answer.text)
        assert answer.headers["x-should-retry"] == "false"


def test_a_key_is_limited_by_its_team_too(served: Served) -> None:
    text, _ = served.key(of_team={"models": ["amazon.*"]}, models=["fast", "smart"])
    statuses = {
        model: served.post("/v1/chat/completions", {"model": model, "messages": [TURN]}, text).status_code
        for model in ("fast", "smart", NOVA)
    }
    assert statuses == {"fast": 200, "smart": 403, NOVA: 403}


def test_lists_hold_only_the_models_that_are_allowed(served: Served) -> None:
    text, _ = served.key(models=["fast", f"{NOVA}*"])
    free, _ = served.key()
    listed = [entry["id"] for entry in served.get("/v1/models", text).json()["data"]]
    assert "fast" in listed
    assert NOVA in listed
    assert all("nova-pro" in name or name == "fast" for name in listed), listed
    of_anthropic = served.get("/v1/models?limit=1000", text, **{"anthropic-version": "2023-06-01"}).json()
    assert {entry["id"] for entry in of_anthropic["data"]} == set(listed)
    every = [entry["id"] for entry in served.get("/v1/models", free).json()["data"]]
    assert {"fast", "smart", NOVA, CLAUDE} <= set(every)
    summaries = served.get("/foundation-models", text).json()["modelSummaries"]
    assert {summary["modelId"] for summary in summaries} == {NOVA}
    assert len(served.get("/foundation-models", free).json()["modelSummaries"]) > 1
    assert served.get("/inference-profiles", text).json()["inferenceProfileSummaries"] == []
    claude, _ = served.key(models=["us.anthropic.*"])
    profiles = served.get("/inference-profiles", claude).json()["inferenceProfileSummaries"]
    assert profiles
    assert all(profile["inferenceProfileId"].startswith("us.anthropic.") for profile in profiles)


LENGTHS: list[tuple[str, Any, str, str]] = [
    ("/v1/chat/completions", {"model": ECHO, "messages": [TURN]}, "max_tokens", "inferenceConfig.maxTokens"),
    ("/v1/chat/completions", {"model": ECHO, "messages": [TURN]}, "max_completion_tokens", "inferenceConfig.maxTokens"),
    ("/v1/responses", {"model": ECHO, "input": "hi"}, "max_output_tokens", "inferenceConfig.maxTokens"),
    ("/v1/responses", {"model": GPT, "input": "hi"}, "max_output_tokens", "max_output_tokens"),
    ("/v1/chat/completions", {"model": GLM, "messages": [TURN]}, "max_completion_tokens", "max_completion_tokens"),
    ("/v1/chat/completions", {"model": GLM, "messages": [TURN]}, "max_tokens", "max_tokens"),
    ("/v1/chat/completions", {"model": GPT55, "messages": [TURN]}, "max_tokens", "max_output_tokens"),
    ("/v1/messages", {"model": CLAUDE, "messages": [TURN]}, "max_tokens", "max_tokens"),
    ("/v1/messages", {"model": ECHO, "messages": [TURN]}, "max_tokens", "inferenceConfig.maxTokens"),
]


def value_at(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


@pytest.mark.parametrize(("path", "body", "field", "sent"), LENGTHS)
def test_a_length_is_lowered_to_what_the_key_allows(
    served: Served, path: str, body: Any, field: str, sent: str
) -> None:
    text, _ = served.key(of_team={"largest_max_tokens": 50}, largest_max_tokens=100)
    got, answer = served.body_of(path, {**body, field: 5000}, text)
    assert value_at(got, sent) == 100
    assert "max_tokens" in answer.headers["x-outcrop-adjusted"].split(",")
    got, answer = served.body_of(path, {**body, field: 60}, text)
    assert value_at(got, sent) == 60
    assert "max_tokens" not in answer.headers.get("x-outcrop-adjusted", "")


@pytest.mark.parametrize(("path", "body", "field", "sent"), [row for row in LENGTHS if row[0] != "/v1/messages"])
def test_a_length_is_filled_in_where_the_caller_names_none(
    served: Served, path: str, body: Any, field: str, sent: str
) -> None:
    text, _ = served.key(default_max_tokens=70)
    limited, _ = served.key(largest_max_tokens=40)
    expected = "max_completion_tokens" if sent == "max_tokens" else sent
    # a model that reasons gets room for that
    assert value_at(served.body_of(path, body, text)[0], expected) in (70, 140)
    assert value_at(served.body_of(path, body, limited)[0], expected) == 40
    assert field


def test_bodies_that_cross_byte_for_byte_are_refused_above_the_length(served: Served) -> None:
    text, key = served.key(largest_max_tokens=100)
    native = {"anthropic_version": "bedrock-2023-05-31", "messages": [TURN]}
    cases: list[tuple[str, Any, str]] = [
        (f"/model/{ECHO}/converse", {**CONVERSE, "inferenceConfig": {"maxTokens": 101}}, "inferenceConfig.maxTokens"),
        (
            f"/model/{ECHO}/converse-stream",
            {**CONVERSE, "inferenceConfig": {"maxTokens": 101}},
            "inferenceConfig.maxTokens",
        ),
        (
            f"/model/{CLAUDE}/converse",
            {**CONVERSE, "additionalModelRequestFields": {"max_tokens": 101}},
            "additionalModelRequestFields.max_tokens",
        ),
        (f"/model/{CLAUDE}/invoke", {**native, "max_tokens": 101}, "max_tokens"),
        (f"/model/{CLAUDE}/invoke", native, "max_tokens"),
        (f"/model/{NOVA}/invoke", {**CONVERSE, "inferenceConfig": {"maxTokens": 101}}, "inferenceConfig.maxTokens"),
        # the model reads another field
        (f"/model/{NOVA}/invoke", {**CONVERSE, "max_tokens": 5}, "inferenceConfig.maxTokens"),
    ]
    served.bedrock.requests.clear()
    for path, body, param in cases:
        answer = served.post(path, body, text)
        assert answer.status_code == 400, (path, answer.text)
        assert param in answer.text, answer.text
        assert "100" in answer.text
    assert served.bedrock.requests == []
    got, answer = served.body_of(f"/model/{CLAUDE}/invoke", {**native, "max_tokens": 100}, text)
    assert got == {**native, "max_tokens": 100}
    got, answer = served.body_of(f"/model/{ECHO}/converse", {**CONVERSE, "inferenceConfig": {"maxTokens": 9}}, text)
    assert got == {**CONVERSE, "inferenceConfig": {"maxTokens": 9}}
    assert "x-outcrop-adjusted" not in answer.headers
    got, answer = served.body_of(f"/model/{ECHO}/converse", {**CONVERSE, "inferenceConfig": {"topP": 0.5}}, text)
    assert got == {**CONVERSE, "inferenceConfig": {"topP": 0.5, "maxTokens": 100}}
    assert key.id


@pytest.mark.parametrize("length", [-5, 0, True, 1.5, "9"])
def test_what_is_no_length_is_refused_with_its_path(served: Served, length: Any) -> None:
    text, _ = served.key(largest_max_tokens=100)
    native = {"anthropic_version": "bedrock-2023-05-31", "messages": [TURN]}
    cases: list[tuple[str, Any, str]] = [
        (
            f"/model/{ECHO}/converse",
            {**CONVERSE, "inferenceConfig": {"maxTokens": length}},
            "inferenceConfig.maxTokens",
        ),
        (
            f"/model/{CLAUDE}/converse",
            {**CONVERSE, "additionalModelRequestFields": {"max_tokens": length}},
            "additionalModelRequestFields.max_tokens",
        ),
        (f"/model/{CLAUDE}/invoke", {**native, "max_tokens": length}, "max_tokens"),
    ]
    if length != 0:  # without tokens, a message warms the cache
        cases.append(("/v1/messages", {"model": CLAUDE, "messages": [TURN], "max_tokens": length}, "max_tokens"))
    served.bedrock.requests.clear()
    for path, body, param in cases:
        answer = served.post(path, body, text)
        assert answer.status_code == 400, (path, answer.text)
        assert f"{param}: must be an integer" in answer.text
    assert served.bedrock.requests == []


TITAN, RERANK = "amazon.titan-embed-text-v2:0", "cohere.rerank-v3-5:0"
INVOKED: Any = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [TURN]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": ECHO, "messages": [TURN], "user": "ada"}),
        ("/v1/responses", {"model": ECHO, "input": "hi", "safety_identifier": "ada"}),
        ("/v1/messages", {"model": ECHO, "max_tokens": 9, "messages": [TURN], "metadata": {"user_id": "ada"}}),
        ("/v1/embeddings", {"model": TITAN, "input": "hi", "user": "ada"}),
        ("/v1/rerank", {"model": RERANK, "query": "hi", "documents": ["a"], "user": "ada"}),
        (f"/model/{CLAUDE}/invoke", {**INVOKED, "metadata": {"user_id": "ada_session_1"}}),
        (f"/model/{CLAUDE}/invoke-with-response-stream", {**INVOKED, "metadata": {"user_id": "ada"}}),
        (f"/model/{ECHO}/converse", {**CONVERSE, "metadata": {"user_id": "ada"}}),
    ],
)
def test_limits_by_user_count_the_user_that_a_body_names(served: Served, path: str, body: Any) -> None:
    text, key = served.key()
    limit = Limit(scope="key", scope_id=key.id, per="user", kind="requests_per_minute", capacity=1)

    async def add(database: Database) -> None:
        async with database.begin() as connection:
            await limits.add(connection, limit)
            await touched(connection, key)

    within(served.database, add)
    assert served.post(path, body, text, **{"x-outcrop-user": "bob"}).status_code == 200
    assert [served.post(path, body, text).status_code for _ in range(2)] == [200, 429]


def test_one_key_leaves_half_of_the_permits_to_others(tmp_path: Path) -> None:
    settings = database_settings(tmp_path)
    one, _ = new_key(settings["database_url"])
    others = [new_key(settings["database_url"])[0] for _ in range(3)]
    bedrock = HoldingBedrock()
    with (
        upstream(bedrock.handle) as behind,
        gateway(behind, api_keys=None, max_in_flight=4, max_waiting=0, **settings) as url,
        ThreadPoolExecutor(8) as pool,
    ):

        def ask(text: str) -> int:
            headers = {"authorization": f"Bearer {text}"}
            body = {"model": "a.b", "messages": [TURN]}
            return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code

        try:
            first = [pool.submit(ask, one) for _ in range(2)]
            for _ in first:
                assert bedrock.received.acquire(timeout=30)
            assert ask(one) == 429
            second = pool.submit(ask, next(text for text in others if not shares_counters(text, one)))
            assert bedrock.received.acquire(timeout=30)
        finally:
            bedrock.may_answer.set()
        assert [each.result() for each in (*first, second)] == [200] * 3
        assert ask(one) == 200


def shares_counters(text: str, other: str) -> bool:
    return zlib.crc32(text[3:29].encode()) % 64 == zlib.crc32(other[3:29].encode()) % 64


def test_secrets_are_in_no_file_log_error_or_metric(
    emulator_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = database_settings(tmp_path)
    text, key = new_key(settings["database_url"])
    blocked, _ = new_key(settings["database_url"], status="blocked")
    unknown, _ = new_secret(new_id(), PEPPER.encode())
    told: list[bytes] = []
    with caplog.at_level(logging.DEBUG), gateway(emulator_url, LogObserver(log_format="json"), **settings) as url:
        for secret in (text, blocked, unknown, text[:-1] + "0"):
            for headers in ({"authorization": f"Bearer {secret}"}, {"x-api-key": secret}):
                for path, body in (
                    ("/v1/chat/completions", {"model": ECHO, "messages": [TURN]}),
                    ("/v1/messages", {"model": ECHO, "messages": [TURN], "max_tokens": 0}),
                    (f"/model/{ECHO}/converse", CONVERSE),
                    ("/v1/responses", {"model": f"{CLAUDE}x", "input": "hi"}),
                ):
                    answer = httpx.post(url + path, json=body, headers=headers, timeout=20)
                    told += [answer.content, repr(answer.headers).encode()]
            with boto_client(url, name=key.id, secret=secret) as client, contextlib.suppress(ClientError):
                client.converse(modelId=ECHO, messages=CONVERSE["messages"])
        # a program that sends its key in wrong fields
        chat = {"model": ECHO, "messages": [TURN], "user": text}
        for path, body, headers in (
            ("/v1/chat/completions", {**chat, "model": text}, {}),
            ("/v1/chat/completions", {**chat, "model": f"us.{text}"}, {}),
            (f"/model/{text}/converse", CONVERSE, {}),
            ("/v1/chat/completions", chat, {}),
            ("/v1/chat/completions", chat, {"x-outcrop-user": f"my {text}", "x-request-id": text}),
        ):
            answer = httpx.post(url + path, json=body, headers={"authorization": f"Bearer {text}", **headers})
            assert (answer.status_code == 200) == (body is chat), answer.text
            told.append(answer.headers["x-request-id"].encode())
        told.append(httpx.get(f"{url}/metrics").content)
        logged = [record for record in caplog.records if not record.name.startswith("http")]  # without the client's
        told += [str({**vars(record), "message": record.getMessage()}).encode() for record in logged]
        told += [path.read_bytes() for path in tmp_path.iterdir()]
    assert len([each for each in told if key.id.encode() in each]) > 2
    assert [each for each in told if f"my oc_{key.id}".encode() in each], "the ledger has the user"
    for secret in (text, blocked, unknown):
        random = secret.rpartition("_")[2]
        stored = hash_of(secret, PEPPER.encode())
        for form in (random.encode(), random[:20].encode(), base64.b32decode(random.upper())[:20]):
            assert not [each for each in told if form in each]
        assert not [each for each in told if stored.hex().encode() in each]
    assert not [each for each in told if PEPPER.encode() in each]
