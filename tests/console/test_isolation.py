"""What a caller's key reaches: its own data on every page, and nobody else's."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from msgspec import Struct

from tests.console.conftest import ADMIN_KEY, governed
from tests.console.visitor import Visitor, signed_in

pytestmark = [pytest.mark.database, pytest.mark.loopback]

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OTHER_MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PAGES = (
    "", "?range=30d", "/playground", "/usage", "/usage?group_by=key", "/usage?group_by=team", "/usage?group_by=user",
    "/usage?group_by=label", "/usage?group_by=", "/usage.csv?group_by=user", "/usage.csv?group_by=key", "/limits",
)  # fmt: skip
FORBIDDEN = (
    "/keys",
    "/keys/new",
    "/teams",
    "/teams/new",
    "/quotas",
    "/requests",
    "/requests/x",
    "/models",
    "/models/default",
    "/audit",
)


class Made(Struct):
    """A gateway on which two keys of one team, and one of another, have called."""

    url: str
    mine: dict[str, Any]
    others: list[dict[str, Any]]
    names: list[str]


def api(url: str, method: str, path: str, **options: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    answer = httpx.request(method, f"{url}/admin/v1{path}", headers=headers, timeout=20, **options)
    assert answer.status_code < 300, answer.text
    body: dict[str, Any] = answer.json()
    return body


def call(url: str, secret: str, model: str, user: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50, "user": user}
    headers = {"authorization": f"Bearer {secret}"}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def made(upstream_url: str) -> Iterator[Made]:
    with governed(upstream_url) as url:
        budget = {"amount_usd": "25.00", "period": "month"}
        per_user = {**budget, "per": "user"}
        team = api(url, "POST", "/teams", json={"name": "own-team", "budgets": [budget, per_user]})
        foreign = api(url, "POST", "/teams", json={"name": "foreign-team", "budgets": [budget]})
        mine = api(url, "POST", "/keys", json={"name": "own-key", "team_id": team["id"], "budgets": [budget]})
        others = [
            api(url, "POST", "/keys", json={"name": "mate-key", "team_id": team["id"], "budgets": [budget]}),
            api(
                url,
                "POST",
                "/keys",
                json={"name": "foreign-key", "team_id": foreign["id"], "labels": {"who": "foreign-label"}},
            ),
        ]
        call(url, mine["secret"], MODEL, "own-user")
        for other, user in zip(others, ("mate-user", "foreign-user"), strict=True):
            call(url, other["secret"], OTHER_MODEL, user)
        wait_for_usage(url, 3)
        names = ["mate-key", "foreign-key", "foreign-team", "mate-user", "foreign-user", "foreign-label", OTHER_MODEL]
        yield Made(url, mine, others, [*names, *(other["id"] for other in others), foreign["id"]])


def wait_for_usage(url: str, calls: int) -> None:
    deadline = time.monotonic() + 30
    while sum(row["requests"] for row in api(url, "GET", "/usage")["data"]) < calls:
        assert time.monotonic() < deadline, "the calls are in no sum"
        time.sleep(0.1)


@pytest.fixture
def caller(made: Made) -> Iterator[Visitor]:
    with signed_in(made.url, made.mine["secret"]) as visitor:
        yield visitor


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_nothing_of_others(made: Made, caller: Visitor, page: str) -> None:
    answer = caller.get(page)
    assert answer.status_code == 200
    assert [name for name in made.names if name in answer.text] == []


@pytest.mark.parametrize("page", FORBIDDEN)
def test_pages_of_administrators_are_refused(made: Made, caller: Visitor, page: str) -> None:
    answer = caller.get(page)
    assert answer.status_code == 403
    assert [name for name in made.names if name in answer.text] == []


@pytest.mark.parametrize(
    "action",
    ["/keys/new", "/teams/new", "/keys/{key}", "/keys/{key}/rotate", "/keys/{key}/revoke", "/teams/{team}/delete"],
)
def test_forms_of_administrators_are_refused(made: Made, caller: Visitor, action: str) -> None:
    token = caller.get("/limits").text.partition('data-token="')[2].partition('"')[0]
    path = action.format(key=made.others[0]["id"], team=made.others[0]["team_id"])
    assert caller.post(path, token=token, name="mine", team_id=made.mine["team_id"]).status_code == 403
    assert api(made.url, "GET", f"/keys/{made.others[0]['id']}")["status"] == "active"


@pytest.mark.parametrize(
    "query", ["key_id={other}", "team_id={team}", "key_id={other}&group_by=key", "user=mate-user", "model={model}"]
)
@pytest.mark.parametrize("page", ["/usage", "/usage.csv"])
def test_filters_reach_nothing_of_others(made: Made, caller: Visitor, page: str, query: str) -> None:
    other = made.others[0]
    wanted = query.format(other=other["id"], team=made.others[1]["team_id"], model=OTHER_MODEL)
    answer = caller.get(f"{page}?{wanted}")
    assert answer.status_code == 200
    assert "mate-key" not in answer.text
    assert OTHER_MODEL not in answer.text.replace(f'value="{OTHER_MODEL}"', "").replace(f"model={OTHER_MODEL}", "")


def test_a_caller_sees_its_own_usage_limits_and_budgets(made: Made, caller: Visitor) -> None:
    assert MODEL in caller.get("/usage").text
    assert "own-user" in caller.get("/usage?group_by=user").text
    limits = caller.get("/limits").text
    assert "own-key" in limits
    assert limits.count("$25.00") >= 2
    assert MODEL in caller.get().text


def test_a_caller_is_told_nothing_of_replicas(made: Made, caller: Visitor) -> None:
    assert "Replicas" not in caller.get().text
    with signed_in(made.url, ADMIN_KEY) as admin:
        assert "Replicas</dt><dd>1 live<" in admin.get().text


def test_keys_of_the_environment_see_only_their_own_requests(made: Made) -> None:
    from tests.servers import KEY

    with signed_in(made.url, KEY) as visitor:
        for page in PAGES:
            text = visitor.get(page).text
            assert [name for name in made.names if name in text] == [], page


def test_an_administrator_sees_all(made: Made) -> None:
    with signed_in(made.url, ADMIN_KEY) as admin:
        keys = admin.get("/keys").text
        assert all(name in keys for name in ("own-key", "mate-key", "foreign-key", "own-team", "foreign-team"))
        usage = admin.get("/usage").text
        assert MODEL in usage
        assert OTHER_MODEL in usage
        assert "mate-user" in admin.get("/usage.csv?group_by=user").text
        ledger = admin.get("/requests").text
        assert "foreign-key" in ledger


def test_a_session_ends_when_its_key_is_rotated_or_revoked(made: Made) -> None:
    created = api(made.url, "POST", "/keys", json={"name": "short-lived", "team_id": made.mine["team_id"]})
    with signed_in(made.url, created["secret"]) as visitor:
        api(made.url, "POST", f"/keys/{created['id']}/rotate", json={"grace_seconds": 3600})
        assert "<title>Overview</title>" in visitor.get().text
        second = api(made.url, "POST", f"/keys/{created['id']}/rotate", json={})
        assert "<title>Sign in</title>" in visitor.get().text
    with signed_in(made.url, second["secret"]) as visitor:
        api(made.url, "POST", f"/keys/{created['id']}/revoke")
        assert "<title>Sign in</title>" in visitor.get().text
        assert visitor.client.get("/console/call/v1/models", headers={"x-csrf-token": "x"}).status_code == 401


def test_calls_of_the_playground_are_held_to_the_policy_of_the_key(made: Made) -> None:
    policy = {"name": "narrow", "team_id": made.mine["team_id"], "models": ["*haiku*"]}
    created = api(made.url, "POST", "/keys", json=policy)
    with signed_in(made.url, created["secret"]) as visitor:
        token = visitor.get().text.partition('data-token="')[2].partition('"')[0]
        body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Say hello."}]}
        headers = {"x-csrf-token": token}
        refused = visitor.client.post("/console/call/v1/chat/completions", json=body, headers=headers)
        assert refused.status_code in (403, 404), refused.text
        allowed = visitor.client.post(
            "/console/call/v1/chat/completions", json={**body, "model": OTHER_MODEL}, headers=headers
        )
        assert allowed.status_code == 200
