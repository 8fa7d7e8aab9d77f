"""Spend limits in the shape of Anthropic's Admin API."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.admin.api.documents.spend_limits import SpendLimitCreate
from app.admin.api.operations import spend_limits
from app.admin.api.operations.actor import Actor
from app.governance.holds.needs import Subject
from app.storage import repository
from app.storage.database import Database
from app.storage.records import new_id
from tests.admin.api.conftest import ADMIN_KEY
from tests.admin.api.test_reports import CENT, budget_team, make_calls

ACTOR = Actor("key:ops")


@pytest.fixture
def limits(base: str) -> Any:
    headers = {"x-api-key": ADMIN_KEY, "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=f"{base}/v1/organizations", headers=headers, timeout=20) as client:
        yield client


def new_team(admin: httpx.Client, **members: Any) -> Any:
    return admin.post("/teams", json={"name": new_id(), **members}).json()


def group(team: Any) -> dict[str, str]:
    return {"type": "rbac_group", "rbac_group_id": team["id"]}


@pytest.mark.loopback
def test_a_limit_is_set_read_replaced_and_deleted(admin: httpx.Client, limits: httpx.Client) -> None:
    team = new_team(admin, budgets=[{"amount_usd": "9.00", "period": "month"}])
    by_name = {"type": "rbac_group", "rbac_group_id": team["name"]}
    limit = limits.post("/spend_limits", json={"scope": by_name, "amount": "50000", "period": "monthly"}).json()
    assert limit["id"].startswith("spl_")
    assert (limit["type"], limit["amount"], limit["currency"], limit["scope"]) == (
        "spend_limit", "50000", "USD", group(team),
    )  # fmt: skip
    again = limits.post("/spend_limits", json={"scope": group(team), "amount": "100", "period": "monthly"}).json()
    assert (again["id"], again["amount"]) == (limit["id"], "100")
    user = {"type": "user", "user_id": "ada", "rbac_group_id": team["id"]}
    own = limits.post("/spend_limits", json={"scope": user, "amount": "7", "period": "daily"}).json()
    assert limits.get(f"/spend_limits/{own['id']}").json() == own
    budgets = admin.get(f"/teams/{team['id']}").json()["budgets"]
    assert [(each["per"], each["value"], each["amount_usd"]) for each in budgets] == [
        (None, "", "9.00"),
        ("user", "", "1.00"),
        ("user", "ada", "0.07"),
    ]
    assert limits.delete(f"/spend_limits/{own['id']}").json() == {"type": "spend_limit_deleted", "id": own["id"]}
    gone = limits.get(f"/spend_limits/{own['id']}")
    assert gone.status_code == 404
    assert gone.json()["error"]["type"] == "not_found_error"
    changes = limits.get("/spend_limits/audit", params={"limit": 4}).json()["data"]
    assert [change["action"] for change in changes] == ["spend_limit.delete", *["spend_limit.set"] * 3]
    assert (changes[2]["before"]["amount"], changes[2]["after"]["amount"], changes[2]["actor"]) == (
        "50000", "100", "key:ops",
    )  # fmt: skip


@pytest.mark.loopback
def test_a_limit_that_is_set_refuses_calls_at_its_amount(admin: httpx.Client, limits: httpx.Client) -> None:
    shadow = {"amount_usd": "9.00", "period": "day", "per": "user", "shadow": True}
    until = {"amount_usd": "90.00", "until": "2999-01-01T00:00:00Z"}
    overridden = {"amount_usd": "9.00", "period": "week", "per": "user", "override": until}
    team = new_team(admin, budgets=[shadow, overridden])
    before = limits.get("/spend_limits", params={"limit": 1000}).json()["data"]
    assert [each["period"] for each in before if each["scope"] == group(team)] == ["weekly"]
    for period in ("daily", "weekly"):
        limits.post("/spend_limits", json={"scope": group(team), "amount": "100", "period": period})
    budgets = admin.get(f"/teams/{team['id']}").json()["budgets"]
    assert [each["id"] for each in budgets] == [each["id"] for each in team["budgets"]]
    assert [(each["amount_usd"], each["shadow"], each["override"]) for each in budgets] == [("1.00", False, None)] * 2


@pytest.mark.loopback
def test_unknown_parameters_are_refused(limits: httpx.Client) -> None:
    for path in ("/spend_limits", "/spend_limits/effective", "/spend_limits/audit"):
        refused = limits.get(path, params={"user_id": "ada"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
        assert "user_id" in refused.json()["error"]["message"]
    both = limits.get("/spend_limits/effective", params={"user_ids[]": ["a", "b"], "period[]": ["daily", "weekly"]})
    assert both.status_code == 200
    assert limits.get("/spend_limits/effective", params={"period[]": "hourly"}).status_code == 400


@pytest.mark.loopback
def test_limits_are_listed_in_pages(admin: httpx.Client, limits: httpx.Client) -> None:
    for _ in range(3):
        limits.post("/spend_limits", json={"scope": group(new_team(admin)), "amount": "1"})
    everything = limits.get("/spend_limits", params={"limit": 1000}).json()
    assert everything["has_more"] is False
    ids = [each["id"] for each in everything["data"]]
    first = limits.get("/spend_limits", params={"limit": 2}).json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (ids[:2], True)
    second = limits.get("/spend_limits", params={"limit": 1, "after_id": first["last_id"]}).json()
    assert second["first_id"] == ids[2]
    before = limits.get("/spend_limits", params={"limit": 2, "before_id": ids[2]}).json()
    assert ([each["id"] for each in before["data"]], before["has_more"]) == (ids[:2], False)


@pytest.mark.loopback
@pytest.mark.parametrize(
    "body",
    [
        {"scope": {"type": "organization"}, "amount": "1", "period": "daily"},
        {"scope": {"type": "rbac_group", "rbac_group_id": "nobody"}, "amount": "1"},
        {"scope": {"type": "user", "user_id": "a user of no team"}, "amount": "1"},
        {"scope": {"type": "rbac_group", "rbac_group_id": "x"}, "amount": 1},
        {"scope": {"type": "rbac_group", "rbac_group_id": "x"}, "amount": None},
        {"scope": {"type": "rbac_group", "rbac_group_id": "x"}, "amount": "1", "currency": "EUR"},
    ],
)
def test_invalid_limits_are_refused_in_anthropic_s_shape(
    admin: httpx.Client, limits: httpx.Client, body: dict[str, Any]
) -> None:
    new_team(admin), new_team(admin)
    answer = limits.post("/spend_limits", json=body)
    assert answer.status_code == 400
    error = answer.json()
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert error["request_id"] == answer.headers["request-id"]
    if body["scope"]["type"] == "organization":
        assert error["error"]["message"] == "scope: 'type' must be one of 'rbac_group', 'user'"


@pytest.mark.loopback
def test_only_administrators_set_limits(base: str) -> None:
    url = f"{base}/v1/organizations/spend_limits"
    answer = httpx.get(url, headers={"x-api-key": "wrong", "x-forwarded-for": "192.0.2.99"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.loopback
def test_a_user_s_team_follows_from_its_keys(admin: httpx.Client, limits: httpx.Client) -> None:
    team, user = new_team(admin), new_id()
    former = admin.post("/keys", json={"name": "k", "team_id": new_team(admin)["id"], "person": user}).json()
    admin.post(f"/keys/{former['id']}/revoke")
    admin.post("/keys", json={"name": "k", "team_id": team["id"], "person": user})
    limit = limits.post("/spend_limits", json={"scope": {"type": "user", "user_id": user}, "amount": "5"}).json()
    assert limit["scope"]["rbac_group_id"] == team["id"]


async def test_the_effective_limit_of_a_user_is_shown_with_the_spend(database: Database, tmp_path: Path) -> None:
    subject = await budget_team(database)
    async with database.begin() as connection:
        for scope in (
            {"type": "rbac_group", "rbac_group_id": subject.team_id},
            {"type": "user", "user_id": "bob", "rbac_group_id": subject.team_id},
        ):
            body = {"scope": scope, "amount": "200", "period": "monthly"}
            await spend_limits.set_limit(connection, ACTOR, SpendLimitCreate.model_validate(body))
        rows = await repository.budgets.find(connection)
    calls = Subject(subject.team_id, "k", user="ada", budgets=rows)
    await make_calls(database, tmp_path, calls, 3 * CENT // 2)
    async with database.begin(reads=True) as connection:
        everybody = await spend_limits.effective_limits(connection, users=(), periods=(), limit=20, page="")
        one = await spend_limits.effective_limits(connection, users=("ada",), periods=("monthly",), limit=1, page="")
        nobody = await spend_limits.effective_limits(connection, users=(), periods=("daily",), limit=1, page="")
    shown = {each.actor.user_id: each for each in everybody.data}
    assert (shown["ada"].amount, shown["ada"].period_to_date_spend, shown["ada"].source.type) == (
        "200", "1.5", "rbac_group",
    )  # fmt: skip
    assert (shown["bob"].period_to_date_spend, shown["bob"].source.type) == ("0", "user")
    assert [each.actor.user_id for each in one.data] == ["ada"]
    assert (nobody.data, nobody.next_page) == ([], None)


@pytest.mark.parametrize("user", ["ada", "ml/ada", "a" * 65])
async def test_a_limit_of_a_user_replaces_that_of_the_team(database: Database, tmp_path: Path, user: str) -> None:
    subject = await budget_team(database)
    whole_team = {"type": "rbac_group", "rbac_group_id": subject.team_id}
    one_user = {"type": "user", "user_id": user, "rbac_group_id": subject.team_id}
    for scope, amount in ((whole_team, "500"), (one_user, "100")):
        body = {"scope": scope, "amount": amount, "period": "monthly"}
        async with database.begin() as connection:
            await spend_limits.set_limit(connection, ACTOR, SpendLimitCreate.model_validate(body))
            rows = await repository.budgets.find(connection)
        # calls before and after the user has a limit
        await make_calls(database, tmp_path, Subject(subject.team_id, "k", user=user, budgets=rows), CENT)
    async with database.begin(reads=True) as connection:
        for users in (user,), ():
            page = await spend_limits.effective_limits(connection, users=users, periods=(), limit=20, page="")
            shown = [(each.actor.user_id, each.amount, each.source.type) for each in page.data]
            assert shown == [(user, "100", "user")]


async def test_a_user_with_a_slash_is_found_without_a_limit_of_its_own(database: Database, tmp_path: Path) -> None:
    subject = await budget_team(database)
    scope = {"type": "rbac_group", "rbac_group_id": subject.team_id}
    body = SpendLimitCreate.model_validate({"scope": scope, "amount": "500", "period": "monthly"})
    async with database.begin() as connection:
        await spend_limits.set_limit(connection, ACTOR, body)
        rows = await repository.budgets.find(connection)
    await make_calls(database, tmp_path, Subject(subject.team_id, "k", user="ml/ada", budgets=rows), CENT)
    async with database.begin(reads=True) as connection:
        page = await spend_limits.effective_limits(connection, users=("ml/ada",), periods=(), limit=20, page="")
    assert [(each.actor.user_id, each.period_to_date_spend) for each in page.data] == [("ml/ada", "1")]
