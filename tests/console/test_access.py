"""Who may enter the console, and how long: sign-in, forms, sessions, and what pages of other sites can do."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.console.conftest import ADMIN_KEY, KEYS, OTHER_KEY
from tests.console.visitor import Visitor, signed_in
from tests.servers import KEY, gateway

pytestmark = [pytest.mark.database, pytest.mark.loopback]

ADMIN_PAGES = ("Overview", "Playground", "Keys", "Teams", "Usage", "Quotas", "Requests", "Models", "Audit")
CALLER_PAGES = ("Overview", "Playground", "Usage", "Limits")


@pytest.fixture
def visitor(plain_url: str) -> Iterator[Visitor]:
    with Visitor(plain_url) as made:
        yield made


@pytest.fixture
def admin(governed_url: str) -> Iterator[Visitor]:
    with signed_in(governed_url, ADMIN_KEY) as made:
        yield made


def path_of(title: str) -> str:
    return "" if title == "Overview" else f"/{title.lower()}"


def links(page: str) -> list[str]:
    menu = page.partition('<nav aria-label="Pages">')[2].partition("</nav>")[0]
    return re.findall(r">([A-Z]\w+)</a>", menu)


@pytest.mark.parametrize("title", ADMIN_PAGES)
def test_each_page_needs_a_session(visitor: Visitor, title: str) -> None:
    answer = visitor.client.get(f"/console{path_of(title)}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")


def test_an_administrator_sees_every_page(admin: Visitor) -> None:
    assert links(admin.get().text) == list(ADMIN_PAGES)
    for title in ADMIN_PAGES:
        answer = admin.get(path_of(title))
        assert answer.status_code == 200, title
        assert f"<title>{title}</title>" in answer.text
        assert f"<h1>{title}</h1>" in answer.text


def test_a_caller_sees_only_its_own_pages(governed_url: str) -> None:
    with signed_in(governed_url, KEY) as caller:
        assert links(caller.get().text) == list(CALLER_PAGES)
        for title in ADMIN_PAGES:
            assert caller.get(path_of(title)).status_code == (200 if title in CALLER_PAGES else 403), title
        assert caller.get("/limits").status_code == 200


def test_without_a_database_a_caller_sees_all_pages_and_what_they_need(plain_url: str) -> None:
    with signed_in(plain_url, KEY) as caller:
        assert links(caller.get().text) == [*ADMIN_PAGES, "Limits"]
        for title in ADMIN_PAGES:
            answer = caller.get(path_of(title))
            assert answer.status_code == 200, title
            needs = title in ("Keys", "Teams", "Usage", "Audit")
            assert ("DATABASE_URL" in answer.text and "KEY_PEPPER" in answer.text) == needs, title


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], "é"])
def test_a_wrong_key_is_refused(visitor: Visitor, key: str) -> None:
    answer = visitor.sign_in(key)
    assert answer.status_code in (401, 429)
    assert visitor.session() == ""


def test_attempts_are_throttled_by_address(upstream_url: str) -> None:
    with gateway(upstream_url, api_keys=KEYS) as url, Visitor(url) as visitor:
        statuses = [visitor.sign_in(f"wrong-{number}").status_code for number in range(25)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert visitor.sign_in(KEY).status_code == 200


def test_the_cookie_is_kept_from_scripts_and_other_sites(visitor: Visitor) -> None:
    token = visitor.token()
    answer = visitor.client.post(
        "/console/sign-in", data={"csrf_token": token, "admin_key": KEY}, follow_redirects=False
    )
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("outcrop_console=")
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/console"))
    assert "secure" not in cookie


def test_behind_https_the_cookie_is_secure(visitor: Visitor) -> None:
    token = visitor.token()
    sent = {"csrf_token": token, "admin_key": KEY}
    headers = {"x-forwarded-proto": "https"}
    answer = visitor.client.post("/console/sign-in", data=sent, headers=headers, follow_redirects=False)
    assert "secure" in answer.headers["set-cookie"].lower()


def test_signing_in_makes_a_new_session(visitor: Visitor) -> None:
    """A session that an attacker has set before is not the one that is signed in."""
    visitor.client.cookies.set("outcrop_console", "chosen-by-somebody-else", domain="127.0.0.1", path="/console")
    assert visitor.sign_in(KEY).status_code == 200
    cookies = [cookie.value for cookie in visitor.client.cookies.jar if cookie.name == "outcrop_console"]
    assert all(value != "chosen-by-somebody-else" for value in cookies[-1:])
    with Visitor(visitor.url) as attacker:
        attacker.client.cookies.set("outcrop_console", "chosen-by-somebody-else")
        assert "Sign in" in attacker.get().text


def test_the_form_of_another_browser_signs_nobody_in(visitor: Visitor, plain_url: str) -> None:
    with Visitor(plain_url) as attacker:
        foreign = attacker.token()
    assert visitor.post("/sign-in", token=foreign, admin_key=KEY).status_code == 403
    assert visitor.session() == ""


@pytest.mark.parametrize("path", ["/sign-out", "/sign-in"])
@pytest.mark.parametrize("token", ["", "x", "é"])
def test_forms_need_the_token_of_the_session(visitor: Visitor, path: str, token: str) -> None:
    if path == "/sign-out":
        visitor.sign_in(KEY)
    assert visitor.post(path, token=token, admin_key=KEY).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_pages_of_other_sites_send_no_forms(admin: Visitor, headers: dict[str, str]) -> None:
    token = re.search(r'data-token="([^"]+)"', admin.get().text)
    assert token
    assert admin.post("/sign-out", token=token[1], headers=headers).status_code == 403
    assert admin.get().status_code == 200


def test_after_signing_out_a_copy_of_the_cookie_is_refused(admin: Visitor) -> None:
    copied = admin.session()
    token = re.search(r'data-token="([^"]+)"', admin.get().text)
    assert token
    assert "Sign in" in admin.post("/sign-out", token=token[1]).text
    assert admin.session() == ""
    with Visitor(admin.url) as thief:
        thief.client.cookies.set("outcrop_console", copied)
        assert "<title>Sign in</title>" in thief.get().text


def test_a_session_ends_with_its_key(upstream_url: str) -> None:
    with (
        gateway(upstream_url, api_keys=KEYS, seal_secret="a-secret-that-stays") as url,
        signed_in(url, OTHER_KEY) as visitor,
    ):
        cookie = visitor.session()
    with (
        gateway(upstream_url, api_keys=f"tests={KEY}", seal_secret="a-secret-that-stays") as url,
        Visitor(url) as later,
    ):
        later.client.cookies.set("outcrop_console", cookie)
        assert "<title>Sign in</title>" in later.get().text


def test_a_link_from_another_site_is_asked_again_by_the_page_itself(visitor: Visitor) -> None:
    answer = visitor.client.get("/console", headers={"sec-fetch-site": "cross-site"}, follow_redirects=False)
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


def test_parts_of_a_page_lead_to_the_sign_in(visitor: Visitor) -> None:
    answer = visitor.client.get("/console", headers={"hx-request": "true"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/console/sign-in")


@pytest.mark.parametrize("title", ADMIN_PAGES)
def test_pages_have_a_strict_policy_and_no_inline_code(admin: Visitor, title: str) -> None:
    answer = admin.get(path_of(title))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|\shx-on|javascript:", answer.text)
    assert not re.search(r'(?:src|href|action)="(?!/console)(?!#)(?!/docs)[^"]', answer.text)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/keys", 405), ("GET", "/sign-out", 405), ("GET", "/assets/x/none.js", 404)],
)
def test_what_does_not_exist_is_said(admin: Visitor, method: str, path: str, status: int) -> None:
    answer = admin.client.request(method, f"/console{path}", headers={"origin": admin.url})
    assert answer.status_code == status
    assert path.startswith("/assets/") or 'href="/console/usage"' in answer.text
    if status == 405:
        assert "<title>Method not allowed</title>" in answer.text
        assert answer.headers["allow"]


def test_large_and_malformed_forms_are_refused(visitor: Visitor) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    large = visitor.client.post("/console/sign-in", content=b"a=" + b"x" * 300_000, headers=headers)
    assert large.status_code == 413
    assert visitor.client.post("/console/sign-in", content=b"a=\xff", headers=headers).status_code == 400
    assert visitor.client.post("/console/sign-in", content=b"a=%ff", headers=headers).status_code == 400


def test_the_console_can_be_turned_off(upstream_url: str) -> None:
    with gateway(upstream_url, console=False) as url:
        assert httpx.get(f"{url}/console").status_code == 404
        assert httpx.get(f"{url}/console/sign-in").status_code == 404


def test_without_keys_everybody_on_this_machine_may_enter(upstream_url: str) -> None:
    with gateway(upstream_url, api_keys=None, auth_disabled=True) as url, Visitor(url) as visitor:
        assert "without a key" in visitor.get("/sign-in").text
        assert visitor.sign_in("").status_code == 200
        assert links(visitor.get().text) == [*ADMIN_PAGES, "Limits"]
        foreign = visitor.get(headers={"x-forwarded-for": "203.0.113.9"})
        assert foreign.status_code == 403


def test_the_log_names_who_was_there(upstream_url: str) -> None:
    records = []

    class Kept:
        def request_ended(self, record: object) -> None:
            records.append(record)

    with gateway(upstream_url, Kept(), api_keys=KEYS) as url, signed_in(url, OTHER_KEY) as visitor:
        visitor.get("/limits")
    assert [each.caller for each in records if each.route == "/console/limits"] == ["other"]
    assert not any(OTHER_KEY in str(each) for each in records)
