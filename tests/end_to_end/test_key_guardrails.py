"""The guardrail of a virtual key applies to all calls of the key, and to none of others."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.emulator.guardrails import GUARDRAIL
from app.emulator.protocol import BreakableProtocol
from app.storage import tables
from app.storage.database import Database
from app.storage.key_changes import touched
from app.storage.records import Budget
from app.storage.repository import budgets
from tests.end_to_end.recording import RecordingBedrock
from tests.end_to_end.test_guardrail import is_guarded, requests_with
from tests.keys import PEPPER, add_key, add_team, new_key, within
from tests.servers import gateway, serving

pytestmark = pytest.mark.database

ECHO = "scripted.echo-v1:0"
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


PRICED = f'[prices."{ECHO}"]\ninput = 0.0\noutput = 1000.0\n[guardrail_prices]\ncontent = 1.0\nword = 0.0\n'
# of a unit of content
UNIT = 1_000_000


class Ledger:
    """A gateway with a ledger, and a key with a guardrail and a budget."""

    def __init__(self, url: str, recorder: RecordingBedrock, database: str) -> None:
        self.url, self.recorder, self.database = url, recorder, database

    def key(self, dollars: float) -> tuple[str, str]:
        async def add(database: Database) -> tuple[str, str]:
            text, key = await add_key(database, await add_team(database, **GUARDED))
            budget = Budget(scope="key", scope_id=key.id, period="total", amount_nano=int(dollars * 1e9))
            async with database.begin() as connection:
                await budgets.add(connection, budget)
                await touched(connection, key)
            return text, key.id

        return within(self.database, add)

    def entries(self, key_id: str, count: int) -> list[dict[str, Any]]:
        """Wait for the settlements of a key, and return them in their order."""

        async def read(database: Database) -> list[dict[str, Any]]:
            table = tables.ledger
            query = select(table).where(table.c.key_id == key_id, table.c.phase == "settle").order_by(table.c.at)
            async with database.begin(reads=True) as connection:
                return [dict(row) for row in (await connection.execute(query)).mappings()]

        deadline = time.monotonic() + 30
        while len(found := within(self.database, read)) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    path, recorder = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/outcrop.db", RecordingBedrock()
    with (
        serving(recorder, http=BreakableProtocol) as bedrock,
        gateway(bedrock, database_url=path, key_pepper=PEPPER, config_toml=PRICED) as url,
    ):
        yield Ledger(url, recorder, path)


TURN = {"role": "user", "content": "x" * 2_500}
NATIVE = {"messages": [{"role": "user", "content": [{"text": "x" * 2_500}]}], "inferenceConfig": {"maxTokens": 3}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": ECHO, "messages": [TURN], "max_tokens": 3}),
        ("/v1/chat/completions", {"model": ECHO, "messages": [TURN], "max_tokens": 3, "stream": True}),
        (f"/model/{ECHO}/converse", NATIVE),
        (f"/model/{ECHO}/converse-stream", NATIVE),
    ],
)
def test_what_a_guardrail_examined_is_charged(ledger: Ledger, path: str, body: Any) -> None:
    text, key_id = ledger.key(10)
    assert send(ledger.url, path, body, text).status_code == 200
    (entry,) = ledger.entries(key_id, 1)
    # three units of the input, and one of the answer
    assert entry["guardrail_units"] == {"content": 4, "word": 4}
    assert (entry["cost_nano"], entry["is_estimated"]) == (3 * 1_000_000 + 4 * UNIT, False)
    assert list(entry["charged_to"].values()) == [entry["cost_nano"]]


def test_a_small_budget_pays_for_a_small_call_with_a_guardrail(ledger: Ledger) -> None:
    text, key_id = ledger.key(0.05)
    body = {"model": ECHO, "messages": [TURN], "max_tokens": 3}
    assert send(ledger.url, "/v1/chat/completions", body, text).status_code == 200
    assert [each["guardrail_units"]["content"] for each in ledger.entries(key_id, 1)] == [4]


def test_a_check_beside_the_call_is_an_entry_of_its_own(ledger: Ledger) -> None:
    text, key_id = ledger.key(10)
    result = {"role": "tool", "tool_call_id": "c", "content": "y" * 1_500}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [TURN, {"role": "assistant", "tool_calls": [call]}, result]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = {"model": ECHO, "messages": turns, "tools": tools, "max_tokens": 3}
    assert send(ledger.url, "/v1/chat/completions", body, text).status_code == 200
    check, answer = ledger.entries(key_id, 2)
    assert (check["model_served"], check["cost_nano"]) == (f"guardrail/{GUARDRAIL}", 2 * UNIT)
    assert (check["request_id"], check["guardrail_units"]["content"]) == (answer["request_id"], 2)
    blocked = {**body, "messages": [*turns[:2], {**result, "content": "forbidden"}]}
    assert send(ledger.url, "/v1/chat/completions", blocked, text).status_code == 400
    assert [each["cost_nano"] for each in ledger.entries(key_id, 3)][2:] == [UNIT]


def test_a_refused_call_is_shown_to_no_guardrail(ledger: Ledger) -> None:
    text, _ = ledger.key(0)
    ledger.recorder.requests.clear()
    for path, body in requests_with("hello"):
        assert send(ledger.url, path, body, text).status_code in (400, 429), path
    embedded = send(ledger.url, "/v1/embeddings", {"model": EMBEDDING, "input": "hello"}, text)
    assert (embedded.status_code, embedded.json()["error"]["code"]) == (429, "insufficient_quota")
    assert ledger.recorder.requests == []


def test_a_check_by_the_caller_itself_is_charged(ledger: Ledger) -> None:
    text, key_id = ledger.key(10)
    body = {"source": "INPUT", "content": [{"text": {"text": "z" * 2_500}}]}
    path = f"/guardrail/{GUARDRAIL}/version/1/apply"
    assert send(ledger.url, path, body, text).json()["action"] == "NONE"
    (entry,) = ledger.entries(key_id, 1)
    assert (entry["model_served"], entry["cost_nano"]) == (f"guardrail/{GUARDRAIL}", 3 * UNIT)
    assert entry["guardrail_units"] == {"content": 3, "word": 3}


def test_a_call_whose_price_nobody_knows_is_refused_by_its_name(ledger: Ledger) -> None:
    text, _ = ledger.key(10)
    ledger.recorder.requests.clear()
    refused = send(ledger.url, "/guardrail-checks/invoke", {"messages": [], "checks": []}, text)
    assert refused.status_code == 400
    assert "the price of /guardrail-checks/invoke is not known" in refused.json()["message"]
    assert ledger.recorder.requests == []
