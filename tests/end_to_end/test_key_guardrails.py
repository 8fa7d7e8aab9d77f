"""The guardrail of a virtual key applies to all calls of the key, and to none of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.emulator.guardrails import GUARDRAIL
from app.emulator.protocol import BreakableProtocol
from tests.end_to_end.recording import RecordingBedrock
from tests.end_to_end.test_guardrail import is_guarded, requests_with
from tests.keys import PEPPER, new_key
from tests.servers import gateway, serving

pytestmark = pytest.mark.database

EMBEDDING = "amazon.titan-embed-text-v2:0"
GUARDED = {"guardrail_id": GUARDRAIL, "guardrail_version": "7"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('guardrails')}/outcrop.db"


@pytest.fixture(scope="module")
def served(database: str) -> Iterator[tuple[str, RecordingBedrock]]:
    recorder = RecordingBedrock()
    with (
        serving(recorder, http=BreakableProtocol) as bedrock,
        gateway(bedrock, database_url=database, key_pepper=PEPPER) as url,
    ):
        yield url, recorder


@pytest.fixture(scope="module")
def guarded_key(database: str) -> str:
    return new_key(database, of_team=GUARDED)[0]


def send(url: str, path: str, body: Any, text: str) -> httpx.Response:
    return httpx.post(url + path, json=body, headers={"authorization": f"Bearer {text}"}, timeout=20)


def test_the_guardrail_of_a_key_is_set_on_every_call(
    served: tuple[str, RecordingBedrock], database: str, guarded_key: str
) -> None:
    url, recorder = served
    free, _ = new_key(database)
    for path, body in requests_with("hello"):
        recorder.requests.clear()
        assert send(url, path, body, guarded_key).status_code == 200, path
        assert recorder.requests
        assert all(map(is_guarded, recorder.requests)), path
        recorder.requests.clear()
        assert send(url, path, body, free).status_code == 200, path
        assert not any(map(is_guarded, recorder.requests)), path


def test_texts_that_bedrock_would_not_check_are_shown_to_the_guardrail(
    served: tuple[str, RecordingBedrock], database: str, guarded_key: str
) -> None:
    url, recorder = served
    free, _ = new_key(database)
    calls: list[tuple[str, Any]] = [
        ("/v1/embeddings", {"model": EMBEDDING, "input": "hello"}),
        ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": "q", "documents": ["d"]}),
    ]
    for path, body in calls:
        for text, is_shown in ((guarded_key, True), (free, False)):
            recorder.requests.clear()
            assert send(url, path, body, text).status_code == 200, path
            assert any(request.path.endswith("/apply") for request in recorder.requests) is is_shown, path


def test_what_cannot_have_the_guardrail_is_refused(served: tuple[str, RecordingBedrock], guarded_key: str) -> None:
    url, recorder = served
    recorder.requests.clear()
    answer = send(url, "/async-invoke", {"modelId": "amazon.nova-reel-v1:0", "modelInput": {}}, guarded_key)
    assert answer.status_code == 403
    other = {"guardrailConfig": {"guardrailIdentifier": "another", "guardrailVersion": "1"}}
    body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], **other}
    answer = send(url, "/model/scripted.echo-v1:0/converse", body, guarded_key)
    assert answer.status_code == 400
    assert recorder.requests == []


def test_a_key_cannot_replace_the_guardrail_of_the_deployment(tmp_path: Path) -> None:
    database, recorder = f"sqlite:///{tmp_path}/outcrop.db", RecordingBedrock()
    other, _ = new_key(database, guardrail_id="another", guardrail_version="1")
    same, _ = new_key(database, **GUARDED)
    without, _ = new_key(database)
    body = {"model": "scripted.echo-v1:0", "messages": [{"role": "user", "content": "hi"}]}
    with (
        serving(recorder, http=BreakableProtocol) as bedrock,
        gateway(bedrock, database_url=database, key_pepper=PEPPER, **GUARDED) as url,
    ):
        answer = send(url, "/v1/chat/completions", body, other)
        assert answer.status_code == 403
        assert "is not that of this deployment" in answer.json()["error"]["message"]
        converse = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
        assert send(url, "/model/scripted.echo-v1:0/converse", converse, other).status_code == 403
        assert recorder.requests == []
        for text in (same, without):
            assert send(url, "/v1/chat/completions", body, text).status_code == 200
        assert len(recorder.requests) == 2
        assert all(map(is_guarded, recorder.requests))
