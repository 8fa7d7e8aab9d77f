"""Responses in the background: what is stored of them, and when they end."""

import time
from typing import Any

import openai
import pytest

from tests.end_to_end.conftest import Records
from tests.servers import KEY, gateway

ECHO = "scripted.echo-v1:0"


def ended(client: openai.OpenAI, response_id: str) -> Any:
    """Return a response in the background at its end."""
    deadline = time.monotonic() + 20
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


def test_conversation_that_is_too_large_to_store_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=ECHO, input="z" * 8_500_000, background=True)
    assert caught.value.status_code == 413


def test_deleting_a_running_response_ends_its_call(client: openai.OpenAI, records: Records) -> None:
    begun = client.responses.create(model=f"{ECHO}.never", input="x", background=True)
    before = len(records.all)
    client.responses.delete(begun.id)
    deadline = time.monotonic() + 5
    while not [record for record in records.all[before:] if record.error == "caller_gone"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(begun.id)
