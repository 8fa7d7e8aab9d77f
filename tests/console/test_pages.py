"""The pages of administrators: what they create, change and show, and that names cannot become markup."""

import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.admin.api.operations import names
from tests.console.conftest import ADMIN_KEY, governed
from tests.console.test_isolation import api, call, wait_for_usage
from tests.console.visitor import Visitor, signed_in
from tests.servers import KEY

pytestmark = [pytest.mark.database, pytest.mark.loopback]

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MARKUP = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
THROTTLES = re.compile(r'>Throttles<.*?<data value="(\d+)"', re.DOTALL)
SECRET = re.compile(r"oc_[0-9a-z]{26}_[0-9a-z]+")


@pytest.fixture(scope="module")
def url(upstream_url: str) -> Iterator[str]:
    with governed(upstream_url) as made:
        yield made


@pytest.fixture(scope="module")
def admin(url: str) -> Iterator[Visitor]:
    with signed_in(url, ADMIN_KEY) as made:
        yield made


@pytest.fixture(scope="module")
def token(admin: Visitor) -> str:
    return admin.get().text.partition('data-token="')[2].partition('"')[0]


@pytest.fixture(scope="module")
def team(url: str) -> str:
    return str(api(url, "POST", "/teams", json={"name": "tested"})["id"])


def test_the_first_key_brings_a_team_and_its_secret_works(admin: Visitor, url: str, token: str) -> None:
    assert "There is no key yet" in admin.get("/keys").text
    assert "default (new)" in admin.get("/keys/new").text
    answer = admin.post(
        "/keys/new", token=token, name="first", team_id="default", amount_usd="25.00", requests_per_minute="60"
    )
    secret = SECRET.search(answer.text)
    assert secret
    assert all(name in answer.text for name in ("ANTHROPIC_BASE_URL", "CODEX_API_KEY", "boto3", f"{url}/v1"))
    call(url, secret[0], MODEL, "someone")
    listed = admin.get("/keys").text
    assert secret[0] not in listed
    assert all(text in listed for text in ("first", "default", "$25.00"))
    wait_for_usage(url, 1)
    assert MODEL in admin.get("/usage").text
    assert MODEL in admin.get().text
    (entry,) = api(url, "GET", "/ledger?phase=settle")["data"]
    shown = admin.get(f"/requests/{entry['request_id']}").text
    assert all(text in shown for text in (MODEL, "settle", "/v1/chat/completions"))
    assert entry["request_id"] in admin.get("/requests").text
    assert entry["request_id"] in admin.get("/requests?source=process").text


def key_of(url: str, name: str) -> str:
    keys = api(url, "GET", "/keys?limit=500")["data"]
    return next(str(each["id"]) for each in keys if each["name"] == name)


def test_a_key_is_changed_rotated_and_revoked(admin: Visitor, url: str, token: str) -> None:
    team = api(url, "POST", "/teams", json={"name": "changed", "limits": {}})["id"]
    created = admin.post(
        "/keys/new", token=token, name="changing", team_id=team, expires_at="2030-01-31", models="*claude*"
    )
    first = SECRET.search(created.text)
    key_id = key_of(url, "changing")
    admin.post(
        f"/keys/{key_id}",
        token=token,
        requests_per_minute="5",
        amount_usd="10",
        period="day",
        action="warn",
        models="a*, b*",
    )
    stored = api(url, "GET", f"/keys/{key_id}")
    assert stored["limits"]["requests_per_minute"] == 5
    assert stored["models"] == ["a*", "b*"]
    assert [(each["amount_usd"], each["period"], each["action"]) for each in stored["budgets"]] == [
        ("10.00", "day", "warn")
    ]
    assert stored["expires_at"].startswith("2030-01-31")
    rotated = admin.post(f"/keys/{key_id}/rotate", token=token, grace_seconds="3600")
    second = SECRET.search(rotated.text)
    assert first
    assert second
    assert first[0] != second[0]
    assert 'value="10.00"' in admin.get(f"/keys/{key_id}").text
    assert "revoked" in admin.post(f"/keys/{key_id}/revoke", token=token).text
    assert api(url, "GET", f"/keys/{key_id}")["status"] == "revoked"
    assert "Revoke</button>" not in admin.get(f"/keys/{key_id}").text


def test_what_a_form_does_not_show_stays(admin: Visitor, url: str, token: str) -> None:
    budgets = [{"amount_usd": "1.00", "period": period} for period in ("day", "month")]
    limits = {"tokens_per_minute": 100, "shadow": ["tokens_per_minute"]}
    team = api(url, "POST", "/teams", json={"name": "several", "budgets": budgets, "limits": limits})["id"]
    assert "several budgets" in admin.get(f"/teams/{team}").text
    admin.post(f"/teams/{team}", token=token, tokens_per_minute="200", models="")
    stored = api(url, "GET", f"/teams/{team}")
    assert len(stored["budgets"]) == 2
    assert (stored["limits"]["tokens_per_minute"], stored["limits"]["shadow"]) == (200, ["tokens_per_minute"])


def test_a_form_that_is_out_of_date_changes_nothing(admin: Visitor, url: str, token: str) -> None:
    """It has one field for a budget, and others may have been added since."""
    team = api(url, "POST", "/teams", json={"name": "raced", "budgets": [{"amount_usd": "1.00", "period": "day"}]})[
        "id"
    ]
    key = api(url, "POST", "/keys", json={"name": "raced", "team_id": team})["id"]
    for path in (f"/teams/{team}", f"/keys/{key}"):
        revision = re.search('name="revision" value="([0-9]+)"', admin.get(path).text)
        assert revision
        budgets = [{"amount_usd": "2.00", "period": period} for period in ("day", "month")]
        api(url, "PATCH", path, json={"budgets": budgets})
        refused = admin.post(path, token=token, revision=revision[1], amount_usd="5", period="day", models="")
        assert refused.status_code == 400
        assert "It has changed" in refused.text
        assert f'name="revision" value="{int(revision[1]) + 1}"' in refused.text
        assert len(api(url, "GET", path)["budgets"]) == 2


@pytest.mark.parametrize("number", ["\N{SUPERSCRIPT TWO}", "\N{CIRCLED DIGIT ONE}"])
def test_what_only_looks_like_a_number_is_none(admin: Visitor, url: str, token: str, number: str) -> None:
    for path in ("/usage", "/requests?source=process", "/models"):
        assert admin.get(f"{path}{'&' if '?' in path else '?'}offset={number}").status_code == 200
    team = api(url, "POST", "/teams", json={"name": f"n{number}"})["id"]
    assert "must be a whole number" in admin.post(f"/teams/{team}", token=token, requests_per_minute=number).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "Name"),
        ({"name": "x", "requests_per_minute": "many"}, "Requests per minute must be a whole number"),
        ({"name": "x", "requests_per_minute": "9" * 5000}, "Requests per minute must be a whole number"),
        ({"name": "x", "requests_per_minute": "9" * 20}, "Requests per minute"),
        ({"name": "x", "requests_per_minute": "0"}, "Requests per minute"),
        ({"name": "x", "amount_usd": "-1"}, "Budget (USD)"),
        ({"name": "x", "expires_at": "soon"}, "Expires"),
        ({"name": "x", "expires_at": "2001-01-01"}, "Expires"),
        ({"name": "x", "team_id": "nowhere"}, "team"),
    ],
)
def test_what_is_wrong_in_a_form_is_said_and_the_rest_kept(
    admin: Visitor, team: str, token: str, fields: dict[str, str], said: str
) -> None:
    answer = admin.post("/keys/new", token=token, **{"team_id": team, "person": "kept-person", **fields})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert said in answer.text.partition('role="alert">')[2].partition("</p>")[0]
    assert 'value="kept-person"' in answer.text


@pytest.mark.parametrize(
    "wrong",
    [{"amount_usd": "lots"}, {"requests_per_minute": "many"}, {"requests_per_minute": "0"}, {"models": "x" * 300}],
    ids=["budget", "no number", "zero", "long pattern"],
)
def test_what_was_typed_stays_when_a_change_is_refused(
    admin: Visitor, url: str, token: str, wrong: dict[str, str]
) -> None:
    team = api(url, "POST", "/teams", json={"name": f"typed {min(wrong)} {len(str(wrong))}"})["id"]
    key = api(url, "POST", "/keys", json={"name": "typed", "team_id": team})["id"]
    for path in (f"/teams/{team}", f"/keys/{key}"):
        typed = {"amount_usd": "7", "period": "week", "action": "warn", "tokens_per_minute": "123", "models": "*kept*"}
        refused = admin.post(path, token=token, revision="1", **{**typed, **wrong})
        assert refused.status_code == 400
        sent = {**typed, **wrong}
        values = (sent["amount_usd"], sent["tokens_per_minute"], sent["models"], "1")
        assert all(f'value="{each}"' in refused.text for each in values)
        assert all(f"selected>{each}" in refused.text for each in ("week", "warn only"))


def test_teams_are_created_and_deleted(admin: Visitor, url: str, token: str) -> None:
    created = admin.post("/teams/new", token=token, name="short-lived", amount_usd="5.5", period="week")
    assert "short-lived" in created.text
    assert "$5.50" in admin.get("/teams").text
    assert "there is a team with the name" in admin.post("/teams/new", token=token, name="short-lived").text.lower()
    team = str(created.url).rpartition("/")[2]
    admin.post("/keys/new", token=token, name="member", team_id=team)
    assert "has keys" in admin.post(f"/teams/{team}/delete", token=token).text
    empty = str(admin.post("/teams/new", token=token, name="empty-one").url).rpartition("/")[2]
    assert "empty-one" not in admin.post(f"/teams/{empty}/delete", token=token).text


def test_every_change_is_in_the_audit_with_its_author(admin: Visitor, url: str, token: str) -> None:
    admin.post("/teams/new", token=token, name="audited")
    (entry, *_) = api(url, "GET", "/audit?action=team.create")["data"]
    assert (entry["actor"], entry["after"]["name"]) == ("key:ops", "audited")
    assert entry["address"] == "127.0.0.1"
    page = admin.get("/audit?action=team")
    assert all(text in page.text for text in ("team.create", "key:ops", "audited"))
    assert "key.create" not in page.text.partition("<tbody>")[2]
    assert admin.get("/audit?cursor=x").status_code == 400


def test_names_labels_and_model_ids_never_become_markup(admin: Visitor, url: str, token: str) -> None:
    team = api(url, "POST", "/teams", json={"name": MARKUP, "labels": {"where": MARKUP}})
    key = api(
        url,
        "POST",
        "/keys",
        json={"name": MARKUP, "person": MARKUP, "team_id": team["id"], "labels": {"who": MARKUP}, "models": [MARKUP]},
    )
    body = {"model": MARKUP, "messages": [{"role": "user", "content": "x"}], "user": MARKUP}
    httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
    odd = {"authorization": f"Bearer {KEY}", "x-request-id": "odd'id"}
    httpx.post(f"{url}/v1/chat/completions", json=body, headers=odd)
    pages = [
        "", "/keys", f"/keys?team_id={team['id']}", f"/keys/{key['id']}", "/teams", f"/teams/{team['id']}", "/keys/new",
        "/usage?group_by=key", "/usage?group_by=label", "/audit", "/requests?source=process",
        f"/models?search={MARKUP}", f"/models/{MARKUP}", f"/usage?model={MARKUP}&user={MARKUP}", f"/requests/{MARKUP}",
        f"/playground?model={MARKUP}", f"/requests?model={MARKUP}", f"/audit?actor={MARKUP}", f"/keys?team_id={MARKUP}",
    ]  # fmt: skip
    shown = 0
    for page in pages:
        text = admin.get(page).text
        assert "<img src=x" not in text, page
        assert "49" not in re.findall(r"&amp;\{\{7\*7\}\}|&amp;49", text), page
        shown += "&lt;img src=x" in text
    assert shown > 10


def test_the_csv_has_no_formulas(admin: Visitor, url: str, team: str) -> None:
    key = api(url, "POST", "/keys", json={"name": "=1+1", "team_id": team})
    calls = sum(row["requests"] for row in api(url, "GET", "/usage")["data"])
    call(url, key["secret"], MODEL, "@formula")
    wait_for_usage(url, calls + 1)
    answer = admin.get("/usage.csv?group_by=key")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {"key", "name", "requests", "cost_usd"} <= rows[0].keys()
    users = list(csv.DictReader(io.StringIO(admin.get("/usage.csv?group_by=user").text)))
    cells = [value for row in [*rows, *users] for value in row.values()]
    assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == []


@pytest.mark.parametrize(
    "query",
    ["group_by=nothing", "range=never", "offset=-1", "offset=99999999", "range=24h&group_by=label", "team_id=nowhere"],
)
def test_other_values_of_filters_are_taken_as_the_usual_ones(admin: Visitor, query: str) -> None:
    assert admin.get(f"/usage?{query}").status_code == 200


def following(admin: Visitor, listed: str, page: str) -> str:
    """Return the page of a list after this one."""
    link = re.search(rf'href="(/console/{listed}[^"]*)" rel="next"', page)
    assert link
    return admin.client.get(link[1].replace("&amp;", "&")).text


def test_lists_page_on_the_server(admin: Visitor, url: str) -> None:
    team = api(url, "POST", "/teams", json={"name": "many"})["id"]
    for number in range(53):
        api(url, "POST", "/keys", json={"name": f"many-{number:02}", "team_id": team})
    first = admin.get(f"/keys?team_id={team}").text
    assert ("many-49" in first, "many-50" in first) == (True, False)
    second = following(admin, "keys", first)
    assert ("many-49" in second, "many-50" in second, "First page" in second) == (False, True, True)
    assert admin.get("/keys?cursor=broken").status_code == 400


def test_keys_are_found_by_a_part_of_their_name_on_every_page_of_the_list(admin: Visitor, url: str) -> None:
    team = api(url, "POST", "/teams", json={"name": "searched"})["id"]
    for number in range(52):
        api(url, "POST", "/keys", json={"name": f"Billing 100% {number:02}", "team_id": team})
    api(url, "POST", "/keys", json={"name": "other", "team_id": team})
    first = admin.get("/keys", params={"search": "ING 100%", "team_id": team}).text
    assert ("Billing 100% 00" in first, "Billing 100% 51" in first, ">other<" in first) == (True, False, False)
    second = following(admin, "keys", first)
    assert ("Billing 100% 51" in second, ">other<" in second, 'value="ING 100%"' in second) == (True, False, True)
    assert "No key has this name" in admin.get("/keys?search=_illing").text
    listed = api(url, "GET", f"/keys?search=billing&limit=500&team_id={team}")["data"]
    assert len(listed) == 52


def test_teams_are_found_by_a_part_of_their_name_on_every_page_of_the_list(admin: Visitor, url: str) -> None:
    for number in range(52):
        api(url, "POST", "/teams", json={"name": f"Shop 100% {number:02}"})
    first = admin.get("/teams", params={"search": "OP 100%"}).text
    assert ("Shop 100% 00" in first, "Shop 100% 51" in first, ">searched<" in first) == (True, False, False)
    second = following(admin, "teams", first)
    assert ("Shop 100% 51" in second, ">searched<" in second, 'value="OP 100%"' in second) == (True, False, True)
    assert "No team has this name" in admin.get("/teams?search=_hop").text


def test_a_team_beyond_those_that_lists_offer_stays_chosen(
    admin: Visitor, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser would else choose the first team of the list, and the key would get the limits of another team."""
    monkeypatch.setattr(names, "_MAX_TEAMS", 1)
    team = api(url, "POST", "/teams", json={"name": "late"})["id"]
    for page in ("/keys/new", "/usage"):
        assert f'<option value="{team}" selected>late</option>' in admin.get(f"{page}?team_id={team}").text
        assert ">late<" not in admin.get(page).text


def test_errors_and_throttles_are_those_of_all_replicas(upstream_url: str, tmp_path: Path) -> None:
    shared = {"database_url": f"sqlite:///{tmp_path}/shared.db"}
    with governed(upstream_url, **shared) as first, governed(upstream_url, **shared) as second:
        team = api(first, "POST", "/teams", json={"name": "throttled"})["id"]
        limits = {"requests_per_minute": 1}
        secret = api(first, "POST", "/keys", json={"name": "k", "team_id": team, "limits": limits})["secret"]
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
        for url in (first, second, second):
            httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {secret}"})
        with signed_in(first, ADMIN_KEY) as admin:
            deadline = time.monotonic() + 40
            while not (found := THROTTLES.search(admin.get().text)) or found[1] != "2":
                assert time.monotonic() < deadline, "the throttles of both are on no page"
                time.sleep(0.5)
            page = admin.get("?range=7d").text
    assert all(text in page for text in ("Errors and throttles over time", "Of all replicas"))
    assert "of this process" not in page


def test_a_model_s_page_has_its_capabilities_and_their_evidence(admin: Visitor) -> None:
    listed = admin.get("/models?search=sonnet-4-5").text
    assert MODEL in listed
    assert "scripted.echo" not in listed
    page = admin.get(f"/models/{MODEL}").text
    assert all(text in page for text in ("Evidence", "Tools", "Reasoning", "not the default", "Messages"))
    assert "No row describes" in admin.get("/models/somebody.unknown-v1:0").text
    assert admin.get("/models/%20").status_code == 404


def test_unknown_objects_are_said_to_be_so(admin: Visitor) -> None:
    for path in ("/keys/01m8r80kv9ywh4rcdg0srx15v2", "/keys/x", "/teams/x", "/requests/unknown"):
        answer = admin.get(path)
        assert answer.status_code == 404, path
        assert 'role="alert"' in answer.text


def test_scripts_and_styles_are_small_and_kept_by_browsers(admin: Visitor) -> None:
    page = admin.get().text
    assets = sorted(set(re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page + admin.get("/playground").text)))
    assert len(assets) >= 7
    total = 0
    for asset in assets:
        with admin.client.stream("GET", asset, headers={"accept-encoding": "gzip"}) as answer:
            total += len(b"".join(answer.iter_raw()))
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
        plain = admin.client.get(asset, headers={"accept-encoding": "identity"})
        assert plain.status_code == 200
        assert "content-encoding" not in plain.headers
    from app.console.assets_served import read_assets

    everything = sum(len(data) for data in read_assets().values())
    assert total <= everything < 150_000
