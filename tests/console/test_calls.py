"""The calls of the playground: by the session, for the console's own scripts only."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.console.conftest import ADMIN_KEY, governed
from tests.console.visitor import Visitor, signed_in
from tests.end_to_end.conftest import Records
from tests.servers import KEY

pytestmark = [pytest.mark.database, pytest.mark.loopback]

CHAT = {"model": "scripted.echo-v1:0", "messages": [{"role": "user", "content": "Say hello."}]}


@pytest.fixture(scope="module")
def records() -> Records:
    return Records()


@pytest.fixture(scope="module")
def url(upstream_url: str, records: Records) -> Iterator[str]:
    with governed(upstream_url, records, cors_origins="*") as made:
        yield made


@pytest.fixture
def caller(url: str) -> Iterator[Visitor]:
    with signed_in(url, KEY) as made:
        yield made


def token_of(visitor: Visitor) -> str:
    found = re.search(r'data-token="([^"]+)"', visitor.get().text)
    assert found
    return found[1]


def call(visitor: Visitor, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    return visitor.client.post(f"/console/call{path}", json=CHAT, headers=headers)


def test_a_script_of_the_console_calls_as_the_session_s_caller(caller: Visitor, records: Records) -> None:
    answer = call(caller, **{"x-csrf-token": token_of(caller)})
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Say hello."
    record = records.by_id(answer.headers["x-request-id"])
    assert (record.caller, record.route, record.target) == ("tests", "/v1/chat/completions", "scripted.echo-v1:0")


def test_an_administrator_calls_in_their_own_name(url: str, records: Records) -> None:
    with signed_in(url, ADMIN_KEY) as admin:
        answer = call(admin, **{"x-csrf-token": token_of(admin)})
    record = records.by_id(answer.headers["x-request-id"])
    assert record.caller == "admin:ops"


def test_a_response_in_the_background_runs_as_the_session_s_caller(url: str, caller: Visitor) -> None:
    body = {"model": CHAT["model"], "input": "hi", "background": True}
    headers = {"x-csrf-token": token_of(caller)}
    response = caller.client.post("/console/call/v1/responses", json=body, headers=headers).json()
    deadline = time.monotonic() + 40
    while response["status"] == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.05)
        path = f"{url}/v1/responses/{response['id']}"
        response = httpx.get(path, headers={"authorization": f"Bearer {KEY}"}, timeout=20).json()
    assert (response["status"], response["error"]) == ("completed", None)


def test_answers_are_streamed(caller: Visitor) -> None:
    body = {**CHAT, "stream": True}
    headers = {"x-csrf-token": token_of(caller)}
    with caller.client.stream("POST", "/console/call/v1/chat/completions", json=body, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert [line for line in answer.iter_lines() if line][-1] == "data: [DONE]"


def test_an_encoded_model_reaches_the_path(caller: Visitor) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "Say hello."}]}]}
    headers = {"x-csrf-token": token_of(caller)}
    path = "/console/call/model/scripted.echo-v1%3A0/converse"
    answer = caller.client.post(path, json=body, headers=headers)
    assert answer.json()["output"]["message"]["content"][0]["text"] == "Say hello."


def test_the_models_are_listed_for_scripts_only(caller: Visitor) -> None:
    assert caller.client.get("/console/call/v1/models").status_code == 403
    answer = caller.client.get("/console/call/v1/models", headers={"x-csrf-token": token_of(caller)})
    assert "scripted.echo-v1:0" in [each["id"] for each in answer.json()["data"]]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-csrf-token": "x"},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_call_nothing(caller: Visitor, headers: dict[str, str], records: Records) -> None:
    token = {"x-csrf-token": token_of(caller)} if headers and "x-csrf-token" not in headers else {}
    before = len([each for each in records.all if each.target])
    assert call(caller, **{**token, **headers}).status_code == 403
    assert len([each for each in records.all if each.target]) == before


def test_origins_of_cors_get_no_cookies(url: str) -> None:
    preflight = httpx.options(
        f"{url}/console/call/v1/chat/completions",
        headers={
            "origin": "https://app.example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-csrf-token",
        },
    )
    assert "access-control-allow-credentials" not in preflight.headers


def test_without_a_session_nothing_is_called(url: str) -> None:
    with Visitor(url) as visitor:
        assert call(visitor, **{"x-csrf-token": "x"}).status_code == 401
        # a key in the request is not a session
        assert call(visitor, authorization=f"Bearer {KEY}").status_code == 401


def test_the_token_of_another_session_is_refused(url: str, caller: Visitor) -> None:
    with signed_in(url, KEY) as other:
        foreign = token_of(other)
    assert call(caller, **{"x-csrf-token": foreign}).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/embeddings",
        "/v1/rerank",
        "/health",
        "/console/keys",
        "/admin/v1/teams",
        "/foundation-models",
        "//v1/models",
    ],
)
def test_other_paths_are_not_called(caller: Visitor, path: str) -> None:
    answer = caller.client.get(f"/console/call{path}", headers={"x-csrf-token": token_of(caller)})
    assert answer.status_code == 404


def test_the_cost_of_tokens_is_told(caller: Visitor) -> None:
    query = "model=us.anthropic.claude-sonnet-4-5-20250929-v1:0&input=1000000&output=0"
    assert caller.get(f"/playground/cost?{query}").json()["usd"] > 1
    assert caller.get("/playground/cost?model=unknown&input=1&output=1").json() == {"usd": None}
    assert caller.get("/playground/cost?model=%20&input=1").json() == {"usd": None}
    assert caller.get("/playground/cost?model=m&input=x").status_code == 400
