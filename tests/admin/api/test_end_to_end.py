"""What is set by the admin API holds for calls, and what calls cost is shown, with each database."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from app.storage.records import new_id
from tests.admin.api.conftest import ADMIN_KEY
from tests.end_to_end.conftest import boto_client
from tests.servers import emulator_app, gateway, serving

pytestmark = pytest.mark.loopback

MODEL = "scripted.echo-v1:0"
CALL = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "user": "ada"}
PRICES = f'[prices."{MODEL}"]\ninput = 1000\noutput = 1000\n'


@pytest.fixture(scope="module")
def running(admin_settings: dict[str, str]) -> Iterator[str]:
    with serving(emulator_app()) as upstream, gateway(upstream, **admin_settings, config_toml=PRICES) as base:
        yield base


@pytest.fixture
def admin(running: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running}/admin/v1", headers={"x-api-key": ADMIN_KEY}, timeout=20) as client:
        yield client


def new_key(admin: httpx.Client, team: dict[str, Any], **members: Any) -> Any:
    created = admin.post("/teams", json={"name": new_id(), **team}).json()
    return admin.post("/keys", json={"name": "k", "team_id": created["id"], **members}).json()


def caller_of(base: str, secret: str) -> httpx.Client:
    return httpx.Client(base_url=f"{base}/v1", headers={"authorization": f"Bearer {secret}"}, timeout=20)


def eventually(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def test_a_call_s_cost_is_in_usage_spend_and_ledger(running: str, admin: httpx.Client) -> None:
    team = {"budgets": [{"amount_usd": "100.00", "period": "month"}], "labels": {"centre": "42"}}
    key = new_key(admin, team, limits={"requests_per_minute": 100})
    with caller_of(running, key["secret"]) as caller:
        answer = caller.post("/chat/completions", json=CALL)
        assert answer.status_code == 200, answer.text
        tokens = answer.json()["usage"]
        (row,) = eventually(lambda: caller.get("/usage", params={"group_by": "user,label"}).json()["data"])
        limits = caller.get("/limits").json()
    cost = (tokens["prompt_tokens"] + tokens["completion_tokens"]) * 0.001
    assert (row["requests"], row["user"], row["labels"]) == (1, "ada", {"centre": "42"})
    assert (row["input_tokens"], row["output_tokens"]) == (tokens["prompt_tokens"], tokens["completion_tokens"])
    assert float(row["cost_usd"]) == pytest.approx(cost)
    (of_admin,) = admin.get("/usage", params={"key_id": key["id"], "group_by": "team"}).json()["data"]
    assert (of_admin["cost_usd"], of_admin["team_id"]) == (row["cost_usd"], key["team_id"])
    entries = admin.get("/ledger", params={"key_id": key["id"], "phase": "settle"}).json()["data"]
    assert [(entry["cost_usd"], entry["request_id"]) for entry in entries] == [
        (row["cost_usd"], answer.headers["x-request-id"])
    ]
    (spend,) = admin.get("/spend", params={"team_id": key["team_id"]}).json()["data"]
    assert spend["posted_usd"] == row["cost_usd"]
    eventually(lambda: admin.get("/spend", params={"key_id": key["id"]}).json()["data"][0]["held_usd"] == "0.00")
    assert [limit["kind"] for limit in limits["limits"]] == ["requests_per_minute"]
    assert limits["budgets"][0]["amount_usd"] == "100.00"


@pytest.mark.timed
def test_a_changed_budget_and_a_revoked_key_hold_within_two_seconds(running: str, admin: httpx.Client) -> None:
    key = new_key(admin, {}, budgets=[{"amount_usd": "100.00", "period": "day"}])
    with caller_of(running, key["secret"]) as caller:

        def status() -> int:
            return caller.post("/chat/completions", json=CALL).status_code

        assert status() == 200
        admin.patch(f"/keys/{key['id']}", json={"budgets": [{"amount_usd": "0.00", "period": "day"}]})
        eventually(lambda: status() == 429, 2)
        admin.patch(f"/keys/{key['id']}", json={"budgets": []})
        eventually(lambda: status() == 200, 4)
        admin.post(f"/keys/{key['id']}/revoke")
        eventually(lambda: status() == 401, 2)


def test_both_secrets_of_a_rotated_key_are_accepted_during_the_time_of_grace(running: str, admin: httpx.Client) -> None:
    key = new_key(admin, {})
    rotated = admin.post(f"/keys/{key['id']}/rotate", json={"grace_seconds": 4}).json()
    for secret in (key["secret"], rotated["secret"]):
        with caller_of(running, secret) as caller:
            assert caller.get("/limits").status_code == 200
    with caller_of(running, key["secret"]) as caller:
        eventually(lambda: caller.get("/limits").status_code == 401)


def test_a_deleted_key_is_refused(running: str, admin: httpx.Client) -> None:
    key = new_key(admin, {})
    with caller_of(running, key["secret"]) as caller:
        assert caller.get("/limits").json()["key_id"] == key["id"]
        assert admin.delete(f"/keys/{key['id']}").status_code == 204
        eventually(lambda: caller.get("/limits").status_code == 401)


def test_the_holder_of_a_key_is_told_why_it_is_refused(running: str, admin: httpx.Client) -> None:
    """In every API, and to those who sign."""
    keys = {name: new_key(admin, {}) for name in ("revoked", "blocked", "rotated")}
    admin.post(f"/keys/{keys['revoked']['id']}/revoke")
    admin.patch(f"/keys/{keys['blocked']['id']}", json={"status": "blocked"})
    admin.post(f"/keys/{keys['rotated']['id']}/rotate")
    converse = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    turn = {"model": MODEL, "messages": CALL["messages"]}
    calls = {
        "/v1/chat/completions": turn,
        "/v1/messages": {**turn, "max_tokens": 5},
        f"/model/{MODEL}/converse": converse,
    }
    for name, words in (("revoked", "is revoked"), ("blocked", "is blocked"), ("rotated", "was rotated")):
        secret = keys[name]["secret"]
        for path, body in calls.items():
            answer = httpx.post(
                f"{running}{path}", json=body, headers={"authorization": f"Bearer {secret}"}, timeout=20
            )
            assert (answer.status_code, words in answer.text) == (401, True), (name, path, answer.text)
    for name in ("revoked", "blocked"):
        key = keys[name]
        with boto_client(running, name=key["id"], secret=key["secret"]) as client, pytest.raises(ClientError) as caught:
            client.converse(modelId=MODEL, messages=converse["messages"])
        assert f"this API key is {name}" in str(caught.value)


def test_a_budget_that_a_wrong_price_has_spent_is_raised_over_http(running: str, admin: httpx.Client) -> None:
    key = new_key(admin, {}, budgets=[{"amount_usd": "0.70", "period": "month"}])
    with caller_of(running, key["secret"]) as caller:
        statuses = [caller.post("/chat/completions", json=CALL).status_code for _ in range(12)]
        assert (statuses[0], statuses[-1]) == (200, 429)
        changed = admin.patch(f"/keys/{key['id']}", json={"budgets": [{"amount_usd": "5.00", "period": "month"}]})
        assert changed.status_code == 200, changed.text
        eventually(lambda: caller.post("/chat/completions", json=CALL).status_code == 200, seconds=2.0)


def test_a_page_of_spend_limits_that_is_none_is_refused(running: str) -> None:
    path = f"{running}/v1/organizations/spend_limits/effective"
    refused = httpx.get(path, params={"page": "E¾"}, headers={"x-api-key": ADMIN_KEY}, timeout=20)
    assert refused.status_code in (400, 422)
    assert "page" in refused.text
