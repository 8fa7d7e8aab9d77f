"""Responses in the background: what is stored of them, and when they end."""

import signal
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.end_to_end.conftest import Records
from tests.programs import aws, running
from tests.servers import KEY, free_port, gateway

HEADERS = {"authorization": f"Bearer {KEY}"}
ECHO = "scripted.echo-v1:0"


def ended(client: openai.OpenAI, response_id: str) -> Any:
    """Return a response in the background at its end."""
    deadline = time.monotonic() + 30
    while (response := client.responses.retrieve(response_id)).status == "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


def test_answer_that_is_too_large_to_store_has_failed(client: openai.OpenAI) -> None:
    begun = client.responses.create(model=ECHO, input="z" * 2_200_000, background=True)
    response = ended(client, begun.id)
    assert (response.id, response.status, response.error.code) == (begun.id, "failed", "server_error")
    assert response.error.message == "the response is too large to be stored"


def test_running_response_is_not_dropped_for_others(emulator_url: str) -> None:
    with gateway(emulator_url) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        begun = client.responses.create(model=f"{ECHO}.never", input="x", background=True)
        others = [client.responses.create(model=ECHO, input="z" * 1_800_000) for _ in range(9)]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(others[0].id)
        assert client.responses.retrieve(begun.id).status == "in_progress"
        assert client.responses.cancel(begun.id).status == "cancelled"


def test_responses_of_one_caller_leave_room_to_others(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.dialects.openai.responses.background._MAX_RUNNING_BYTES", 60_000)
    other = "another-key-of-the-tests"
    with gateway(emulator_url, api_keys=f"one={KEY},two={other}") as url:

        def statuses(key: str) -> set[int]:
            body = {"model": f"{ECHO}.never", "input": "x", "background": True}
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as caller:
                return {caller.post("/v1/responses", json=body).status_code for _ in range(12)}

        for key in (KEY, other):
            assert statuses(key) == {200, 503}


def test_conversation_that_is_too_large_to_store_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=ECHO, input="z" * 8_500_000, background=True)
    assert caught.value.status_code == 413


def test_deleting_a_running_response_ends_its_call(client: openai.OpenAI, records: Records) -> None:
    begun = client.responses.create(model=f"{ECHO}.never", input="x", background=True)
    before = len(records.all)
    client.responses.delete(begun.id)
    deadline = time.monotonic() + 30
    while not [record for record in records.all[before:] if record.error == "caller_gone"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun.id)


@pytest.mark.parametrize(("changes", "param"), [({"temperature": 99}, "temperature"), ({"tools": 5}, "tools")])
def test_fault_of_the_caller_is_refused_at_once(client: openai.OpenAI, changes: Any, param: str) -> None:
    body = {"model": ECHO, "input": "x", "background": True, **changes}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", cast_to=object, body=body)
    assert caught.value.param == param


def test_ignored_fields_are_named_at_once(gateway_url: str) -> None:
    body = {"model": ECHO, "input": "x", "tools": [{"type": "x"}], "top_k": 3}
    foreground, background = (
        httpx.post(f"{gateway_url}/v1/responses", json={**body, "background": value}, headers=HEADERS)
        for value in (False, True)
    )
    assert background.json()["status"] == "in_progress"
    assert background.headers["x-outcrop-ignored"] == foreground.headers["x-outcrop-ignored"] != ""


def test_stored_response_above_the_limit_of_bodies_is_read(emulator_url: str) -> None:
    with gateway(emulator_url, max_body_bytes=100_000) as url, openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as one:
        stored = one.responses.create(model=ECHO, input="z" * 99_850)
        assert one.responses.retrieve(stored.id).output_text == "z" * 99_850
        assert len(one.responses.input_items.list(stored.id).data) == 1
        with pytest.raises(openai.BadRequestError) as caught:
            one.responses.cancel(stored.id)
        assert caught.value.status_code == 400
        with pytest.raises(openai.APIStatusError) as too_large:
            one.responses.create(model=ECHO, input="more", previous_response_id=stored.id)
        assert too_large.value.status_code == 413


@pytest.mark.parametrize(("kind", "grace", "status"), [("slow-1500", "20", "completed"), ("never", "1", "failed")])
def test_running_response_has_the_grace_of_the_shutdown(
    emulator_url: str, tmp_path: Path, kind: str, grace: str, status: str
) -> None:
    port, store = free_port(), f"sqlite:///{tmp_path / 'responses.db'}"
    key, base = "secret-of-a-developer", f"http://127.0.0.1:{port}"
    settings = {**aws(emulator_url), "PORT": str(port), "SHUTDOWN_GRACE": grace, "RESPONSES_STORE": store}
    with running("app", url=f"{base}/health", **settings) as process:
        with openai.OpenAI(base_url=f"{base}/v1", api_key=key) as client:
            begun = client.responses.create(model=f"{ECHO}.{kind}", input="x", background=True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
        assert process.returncode == 0
    with (
        gateway(emulator_url, responses_store=store, api_keys=f"dev={key}") as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key=key) as other,
    ):
        assert other.responses.retrieve(begun.id).status == status
