"""The admin API over HTTP, at a running gateway with each database."""

import asyncio
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.storage import tables
from app.storage.records import new_id, now
from tests.admin.api.conftest import ADMIN_KEY
from tests.databases import opened
from tests.servers import KEY

pytestmark = pytest.mark.loopback


def new_team(admin: httpx.Client, **members: Any) -> Any:
    answer = admin.post("/teams", json={"name": new_id(), **members})
    assert answer.status_code == 201, answer.text
    return answer.json()


def new_key(admin: httpx.Client, **members: Any) -> Any:
    answer = admin.post("/keys", json={"name": "k", "team_id": new_team(admin)["id"], **members})
    assert answer.status_code == 201, answer.text
    return answer.json()


def error_of(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert set(body["error"]) == {"type", "message", "param", "faults"}
    return body["error"]


def test_a_team_and_its_keys_live_and_end(admin: httpx.Client) -> None:
    team = new_team(admin, budgets=[{"amount_usd": "25.00", "period": "month", "action": "block"}])
    assert team["budgets"][0]["amount_usd"] == "25.00"
    key = new_key(admin, team_id=team["id"], expires_at="2030-01-01")
    assert key["expires_at"] == "2030-01-01T00:00:00Z"
    assert key["secret"].startswith(f"oc_{key['id']}_")
    read = admin.get(f"/keys/{key['id']}")
    assert read.headers["cache-control"] == "no-store"
    assert {**key, "secret": None} == {**read.json(), "secret": None}
    assert admin.get("/keys", params={"team_id": team["id"]}).json() == {"data": [read.json()], "next_cursor": None}
    rotated = admin.post(f"/keys/{key['id']}/rotate", json={"grace_seconds": 60}).json()
    assert rotated["secret"] != key["secret"]
    assert len(rotated["secrets"]) == 2
    assert len(admin.post(f"/keys/{key['id']}/rotate").json()["secrets"]) == 1
    assert admin.post(f"/keys/{key['id']}/revoke").json()["status"] == "revoked"
    assert error_of(admin.post(f"/keys/{key['id']}/rotate"), 409)["type"] == "conflict"
    assert error_of(admin.delete(f"/teams/{team['id']}"), 409)["type"] == "conflict"
    assert admin.delete(f"/keys/{key['id']}").status_code == 204
    assert admin.delete(f"/teams/{team['id']}").status_code == 204
    assert error_of(admin.get(f"/teams/{team['id']}"), 404)["type"] == "not_found"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {KEY}"}, 401),
        ({"x-api-key": KEY}, 401),
        ({"authorization": f"Basic {ADMIN_KEY}"}, 401),
        ({"authorization": f"Bearer {ADMIN_KEY}", "x-api-key": KEY}, 401),
        ({"authorization": f"Bearer {ADMIN_KEY}"}, 200),
        ({"x-api-key": ADMIN_KEY}, 200),
        ({"x-api-key": "another-administrator"}, 200),
    ],
)
def test_only_administrators_are_served(base: str, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"{base}/admin/v1/teams", headers={**headers, "x-forwarded-for": "192.0.2.1"})
    assert answer.status_code == status
    if status == 401:
        assert error_of(answer, 401)["type"] == "authentication"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_callers_reach_nothing_of_it(base: str, admin: httpx.Client) -> None:
    secret = new_key(admin)["secret"]
    document = httpx.get(f"{base}/openapi.json", timeout=30).json()
    tried = 0
    for path, item in document["paths"].items():
        if path.startswith(("/admin/", "/v1/organizations/")):
            for method in item:
                url = base + re.sub(r"\{\w+\}", new_id(), path)
                answer = httpx.request(
                    method, url, headers={"x-api-key": secret}, json={} if method == "post" else None
                )
                assert answer.status_code in (401, 429), (method, path)
                tried += 1
    assert tried >= 23


def test_an_administrator_s_key_calls_no_model(base: str) -> None:
    answer = httpx.get(f"{base}/v1/models", headers={"x-api-key": ADMIN_KEY, "x-forwarded-for": "192.0.2.2"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "x", "budgets": [{"amount_usd": 25, "period": "month"}]}, "budgets[0].amount_usd"),
        ({"name": "x", "limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"name": "x", "labels": {"a": 1}}, "labels.a"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": " "}, "name"),
        ({"name": "x "}, "name"),
        ([], "body"),
    ],
)
def test_faults_are_named_by_their_path(admin: httpx.Client, body: Any, param: str) -> None:
    error = error_of(admin.post("/teams", json=body), 422)
    assert (error["type"], error["param"]) == ("invalid_request", param)
    assert error["message"].startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("send", "message"),
    [
        ({"json": {"name": "x", "color": 1}}, "color: is unknown here"),
        ({"json": {}}, "name: is missing"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "body: is not JSON"),
        ({"json": {"name": "x", "guardrail": {"id": "ABC"}}}, "guardrail.id: must be the id of a guardrail, .*"),
        ({"json": {"name": "x", "limits_per": [{"per": "team"}]}}, "limits_per.0..per: must be user, or label:NAME.*"),
    ],
)
def test_faults_are_told_in_words_for_their_sender(admin: httpx.Client, send: Any, message: str) -> None:
    assert re.fullmatch(message, error_of(admin.post("/teams", **send), 422)["message"])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("group_by=teams", "group_by: must be names of team, key, model, user, label and label:NAME, .*"),
        ("from=yesterday", "from: must be a time such as 2027-01-01T00:00:00Z, or a date"),
        ("to=2027-01-01T00:00:00", "to: must have a time zone, such as 2027-01-01T00:00:00Z"),
    ],
)
def test_faults_of_reports_are_told_in_words(admin: httpx.Client, query: str, message: str) -> None:
    assert re.fullmatch(message, error_of(admin.get(f"/usage?{query}"), 422)["message"])


def test_all_faults_are_named(admin: httpx.Client) -> None:
    error = error_of(admin.post("/teams", json={"name": "", "status": "odd", "labels": []}), 422)
    assert [fault["param"] for fault in error["faults"]] == ["labels", "status", "name"] or len(error["faults"]) == 3


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b'"' + b"x" * 1_000_001 + b'"', "application/json", 413),
        (b"", "application/json", 422),
    ],
)
def test_bodies_that_are_no_json_are_refused(
    admin: httpx.Client, content: bytes, content_type: str, status: int
) -> None:
    answer = admin.post("/teams", content=content, headers={"content-type": content_type})
    error_of(answer, status)


def test_unknown_paths_parameters_and_methods_are_refused(admin: httpx.Client) -> None:
    assert error_of(admin.get("/nothing"), 404)["type"] == "not_found"
    assert error_of(admin.get("/teams/x/y"), 404)["type"] == "not_found"
    refused = admin.put("/teams", json={})
    assert error_of(refused, 405)["type"] == "method_not_allowed"
    assert refused.headers["allow"] == "GET, POST"
    assert error_of(admin.get("/teams", params={"team": "x"}), 422)["param"] == "team"
    assert error_of(admin.get("/teams", params={"limit": 0}), 422)["param"] == "limit"
    for cursor in ("x", "é"):
        error = error_of(admin.get("/teams", params={"cursor": cursor}), 422)
        assert error["message"] == "cursor: must be `next_cursor` of the page before"
    assert error_of(admin.get("/teams", params={"name": "\x00"}), 422)["param"] == "name"
    body = b'{"name": "t", "budgets": [{"amount_usd": "5", "amount_usd": "500", "period": "day"}]}'
    twice = error_of(admin.post("/teams", content=body, headers={"content-type": "application/json"}), 422)
    assert twice["message"] == "budgets[0].amount_usd: is given twice"
    twice = error_of(admin.get("/usage?group_by=team&group_by=key"), 422)
    assert (twice["param"], twice["message"]) == ("group_by", "group_by: is given twice")
    for path in ("/usage", "/ledger", "/audit"):
        for end in ("2026-11-30", "2026-12-01"):
            error = error_of(admin.get(path, params={"from": "2026-12-01", "to": end}), 422)
            assert (error["param"], error["message"]) == (
                "to", "to: must be after `from`: the time itself is not included",
            )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/teams", ["name"]),
        ("/keys", ["team_id", "person"]),
        ("/usage", ["team_id", "key_id", "model"]),
        ("/spend", ["team_id", "key_id"]),
        ("/ledger", ["team_id", "key_id", "model", "request_id", "attempt_id", "phase"]),
        ("/audit", ["object_id", "actor", "action"]),
    ],
)
def test_an_empty_filter_does_not_choose_all(admin: httpx.Client, path: str, names: list[str]) -> None:
    for name in names:
        assert error_of(admin.get(path, params={name: ""}), 422)["param"] == name
    assert admin.get(path, params={"cursor": ""}).status_code == 200


def test_a_change_names_the_revision_that_it_changes(admin: httpx.Client) -> None:
    team = new_team(admin)
    path = f"/teams/{team['id']}"
    etag = admin.get(path).headers["etag"]
    assert etag == '"1"'
    changed = admin.patch(path, json={"labels": {"a": "b"}}, headers={"if-match": etag})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert error_of(admin.patch(path, json={"labels": {}}, headers={"if-match": etag}), 412)["type"] == "outdated"
    for other in ('W/"2"', "2"):
        error = error_of(admin.patch(path, json={}, headers={"if-match": other}), 412)
        assert (error["type"], "with its quotes" in error["message"]) == ("outdated", True)
    assert error_of(admin.delete(path, headers={"if-match": etag}), 412)["type"] == "outdated"
    assert error_of(admin.patch(path, json={}, headers={"if-match": "?, ?"}), 422)["param"] == "If-Match"
    assert admin.patch(path, json={}, headers={"if-match": "*"}).headers["etag"] == '"3"'
    assert admin.patch(path, json={}).status_code == 200
    assert admin.delete(path, headers={"if-match": '"4"'}).status_code == 204


def test_a_request_with_the_same_idempotency_key_is_carried_out_once(admin: httpx.Client) -> None:
    team, headers = new_team(admin), {"idempotency-key": new_id()}
    body = {"name": "once", "team_id": team["id"]}
    first = admin.post("/keys", json=body, headers=headers)
    again = admin.post("/keys", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.json()["secret"] == first.json()["secret"]
    assert again.headers["etag"] == first.headers["etag"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(admin.get("/keys", params={"team_id": team["id"]}).json()["data"]) == 1
    other = admin.post("/keys", json={**body, "name": "twice"}, headers=headers)
    assert error_of(other, 422)["type"] == "idempotency_key_reused"
    # another administrator's keys are others
    with httpx.Client(base_url=admin.base_url, headers={"x-api-key": "another-administrator"}) as second:
        assert second.post("/keys", json=body, headers=headers).json()["id"] != first.json()["id"]


async def test_stored_answers_show_no_secret_to_who_reads_the_database(
    admin: httpx.Client, admin_settings: dict[str, str]
) -> None:
    answer = await asyncio.to_thread(
        admin.post,
        "/keys",
        json={"name": "k", "team_id": (await asyncio.to_thread(new_team, admin))["id"]},
        headers={"idempotency-key": "look-at-me"},
    )
    async with opened(admin_settings["database_url"]) as database, database.begin(reads=True) as connection:
        stored = (await connection.execute(tables.idempotency_keys.select())).all()
    assert "look-at-me" in repr(stored)
    random = answer.json()["secret"].rpartition("_")[2]
    assert not any(
        part in bytes(row.answer) for row in stored for part in (random.encode(), answer.json()["id"].encode())
    )


async def test_an_answer_is_stored_for_a_day(admin: httpx.Client, admin_settings: dict[str, str]) -> None:
    headers = {"idempotency-key": new_id()}
    assert (await asyncio.to_thread(admin.post, "/teams", json={"name": new_id()}, headers=headers)).status_code == 201
    of_key = tables.idempotency_keys.c.key == headers["idempotency-key"]
    async with opened(admin_settings["database_url"]) as database, database.begin() as connection:
        a_day_ago = {"created_at": now() - timedelta(hours=24)}
        await connection.execute(tables.idempotency_keys.update().where(of_key).values(a_day_ago))
    again = await asyncio.to_thread(admin.post, "/teams", json={"name": new_id()}, headers=headers)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)


def test_a_refused_request_may_be_sent_again_with_the_same_idempotency_key(admin: httpx.Client) -> None:
    headers, name = {"idempotency-key": new_id()}, new_id()
    team = new_team(admin, name=name)
    assert admin.post("/teams", json={"name": name}, headers=headers).status_code == 409
    assert admin.delete(f"/teams/{team['id']}").status_code == 204
    assert admin.post("/teams", json={"name": name}, headers=headers).status_code == 201


def test_the_same_request_at_the_same_time_is_carried_out_once(admin: httpx.Client) -> None:
    team, headers = new_team(admin), {"idempotency-key": new_id()}
    body = {"name": "once", "team_id": team["id"]}
    with ThreadPoolExecutor(5) as threads:
        answers = [*threads.map(lambda _: admin.post("/keys", json=body, headers=headers), range(5))]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["secret"] for answer in answers}) == 1
    assert len(admin.get("/keys", params={"team_id": team["id"]}).json()["data"]) == 1


def test_an_idempotency_key_has_printable_characters(admin: httpx.Client) -> None:
    answer = admin.post("/teams", json={"name": new_id()}, headers={"idempotency-key": "a b"})
    assert error_of(answer, 422)["param"] == "Idempotency-Key"
    headers = {"idempotency-key": secrets.token_hex(2_000)}
    for path in ("/teams/x", "/keys/x"):
        assert error_of(admin.delete(path, headers=headers), 422)["param"] == "Idempotency-Key"
    url = admin.base_url.copy_with(path="/v1/organizations/spend_limits/spl_x")
    assert admin.delete(url, headers=headers).status_code == 400


def test_who_changed_something_is_in_the_audit_log(admin: httpx.Client) -> None:
    team = new_team(admin)
    changed = admin.patch(f"/teams/{team['id']}", json={"labels": {"a": "b"}}, headers={"x-request-id": "change-7"})
    assert changed.headers["x-request-id"] == "change-7"
    newest, oldest = admin.get("/audit", params={"object_id": team["id"]}).json()["data"]
    assert (newest["actor"], newest["address"], newest["request_id"]) == ("key:ops", "127.0.0.1", "change-7")
    assert (newest["before"]["labels"], newest["after"]["labels"]) == ({}, {"a": "b"})
    assert (oldest["action"], oldest["before"]) == ("team.create", None)


def test_the_openapi_document_has_it(base: str) -> None:
    document = httpx.get(f"{base}/openapi.json", timeout=30).json()
    paths = {path.removeprefix("/admin/v1"): set(item) for path, item in document["paths"].items() if "/admin/" in path}
    assert paths == {
        "/teams": {"get", "post"},
        "/teams/{team_id}": {"get", "patch", "delete"},
        "/keys": {"get", "post"},
        "/keys/{key_id}": {"get", "patch", "delete"},
        "/keys/{key_id}/rotate": {"post"},
        "/keys/{key_id}/revoke": {"post"},
        "/usage": {"get"},
        "/spend": {"get"},
        "/ledger": {"get"},
        "/audit": {"get"},
        "/quotas": {"get"},
    }
    operation = document["paths"]["/admin/v1/teams"]["post"]
    assert operation["security"] == [{"administrator": []}]
    assert operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorDocument")
    assert operation["summary"]
    assert operation["description"]


def test_callers_ask_for_their_own_usage_and_limits(base: str) -> None:
    with httpx.Client(base_url=f"{base}/v1", headers={"x-api-key": KEY}, timeout=20) as caller:
        assert caller.get("/usage", params={"group_by": "model", "interval": "day", "from": "2026-12-01"}).json() == {
            "data": [],
            "next_cursor": None,
        }
        assert caller.get("/limits").json()["limits"] == []
        for query in ({"team_id": "x"}, {"interval": "year"}, {"cursor": "x"}, {"nothing": "x"}, {"from": "x"}):
            refused = caller.get("/usage", params=query)
            (name,) = query
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
        unknown = caller.get("/usage", params={"x": "1"}, headers={"anthropic-version": "2023-06-01"})
        assert unknown.json()["type"] == "error"
    refused = httpx.get(f"{base}/v1/usage", headers={"x-api-key": ADMIN_KEY, "x-forwarded-for": "192.0.2.3"})
    assert refused.status_code == 401
