"""Signing in to the console at an identity provider: who becomes what, what is refused, and when a session ends."""

import html
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.console.conftest import ADMIN_KEY, governed
from tests.console.identity_provider import CLIENT, SECRET, IdentityProvider, running_provider
from tests.console.test_isolation import api
from tests.console.visitor import Visitor
from tests.governance.oidc_issuer import issuer_tables

pytestmark = [pytest.mark.database, pytest.mark.loopback]

ADMIN = {"sub": "alice", "email": "alice@example.com", "groups": ["platform-admins"]}
MEMBER = {"sub": "bob", "email": "bob@example.com", "groups": ["ml-vision"]}
CONSOLE = """
[identity.oidc.console]
client_id = "{client}"
recheck_seconds = {seconds}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with running_provider() as made:
        yield made


def settings(provider: IdentityProvider, seconds: int = 900) -> dict[str, object]:
    config = issuer_tables(provider.url, CONSOLE.format(client=CLIENT, seconds=seconds))
    return {"config_toml": config, "console_client_secrets": f"corp={SECRET}", "forwarded_allow_ips": "127.0.0.1"}


@pytest.fixture(scope="module")
def url(upstream_url: str, provider: IdentityProvider) -> Iterator[str]:
    with governed(upstream_url, **settings(provider)) as made:
        provider.redirect_uris.append(f"{made}/console/sign-in/corp/done")
        api(made, "POST", "/teams", json={"name": "research"})
        api(made, "POST", "/teams", json={"name": "foreign-team"})
        yield made


@pytest.fixture
def visitor(url: str, provider: IdentityProvider) -> Iterator[Visitor]:
    provider.claims, provider.altered = ADMIN, {}
    with Visitor(url) as made:
        yield made


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """Have sessions of the console see a later time."""
    with mock.patch("app.console.sessions.time", SimpleNamespace(time=lambda: time.time() + seconds)):
        yield


@contextmanager
def ending_sessions(provider: IdentityProvider, page: str = "logout") -> Iterator[None]:
    """Have the provider name a page that ends its sessions, or none, and gateways read what it names each time."""
    usual = provider.discovery_paths
    provider.discovery_paths = {**usual, "end_session_endpoint": page} if page else usual
    try:
        with mock.patch("app.governance.identity.oidc_sign_in._FRESH_SECONDS", 0.0):
            yield
    finally:
        provider.discovery_paths = usual


def to_provider(visitor: Visitor, path: str = "/sign-in/corp") -> dict[str, str]:
    """Begin to sign in; returns what the provider is asked for."""
    answer = visitor.client.get(f"/console{path}", follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def code_of(provider: IdentityProvider, asked: dict[str, str]) -> dict[str, str]:
    """Sign in at the provider; returns what the browser brings back."""
    answer = httpx.get(f"{provider.url}/authorize", params={**asked, "prompt": "done"})
    assert answer.status_code == 303, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def come_back(visitor: Visitor, **query: str) -> httpx.Response:
    return visitor.client.get("/console/sign-in/corp/done", params=query, headers={"sec-fetch-site": "cross-site"})


def signed_in(visitor: Visitor, provider: IdentityProvider) -> httpx.Response:
    return come_back(visitor, **code_of(provider, to_provider(visitor)))


def test_the_form_has_a_link_and_the_request_is_by_code_with_pkce(visitor: Visitor, url: str) -> None:
    assert re.search(r'href="/console/sign-in/corp">Sign in with corp</a>', visitor.get("/sign-in").text)
    asked = to_provider(visitor)
    assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
    assert asked["redirect_uri"] == f"{url}/console/sign-in/corp/done"
    assert {"openid", "email"} <= {*asked["scope"].split()}
    assert min(map(len, (asked["state"], asked["nonce"], asked["code_challenge"]))) >= 43
    again = to_provider(visitor)
    assert not {asked[name] for name in ("state", "nonce", "code_challenge")} & {*again.values()}


def test_an_administrator_sees_all_and_is_in_the_audit_by_name(
    visitor: Visitor, provider: IdentityProvider, url: str
) -> None:
    answer = signed_in(visitor, provider)
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/console"' in answer.text
    page = visitor.get("/teams").text
    assert all(text in page for text in ("research", "foreign-team", "alice@example.com"))
    token = page.partition('data-token="')[2].partition('"')[0]
    assert visitor.post("/teams/new", token=token, name="by alice").status_code == 200
    (entry, *_) = api(url, "GET", "/audit?action=team.create")["data"]
    assert (entry["actor"], entry["after"]["name"]) == ("oidc/corp/alice", "by alice")


def test_a_member_of_a_team_sees_only_what_is_theirs(visitor: Visitor, provider: IdentityProvider) -> None:
    provider.claims = MEMBER
    signed_in(visitor, provider)
    page = visitor.get().text
    assert "bob@example.com" in page
    assert visitor.get("/keys").status_code == 403
    assert visitor.get("/usage?group_by=team").status_code == 200
    token = page.partition('data-token="')[2].partition('"')[0]
    body = {"model": "scripted.echo-v1:0", "messages": [{"role": "user", "content": "Say hello."}]}
    answer = visitor.client.post("/console/call/v1/chat/completions", json=body, headers={"x-csrf-token": token})
    assert answer.status_code == 200, answer.text


def test_nobody_without_a_rule_gets_in(visitor: Visitor, provider: IdentityProvider) -> None:
    provider.claims = {**ADMIN, "groups": ["others"]}
    answer = signed_in(visitor, provider)
    assert answer.status_code == 403
    assert "No rule of this deployment gives you a team" in answer.text
    assert visitor.session() == ""


@pytest.mark.parametrize(
    "altered",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "outcrop"},
        {"azp": "another-client"},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
    ],
)
def test_tokens_that_are_not_of_this_sign_in_are_refused(
    visitor: Visitor, provider: IdentityProvider, altered: dict[str, object]
) -> None:
    provider.altered = altered
    answer = signed_in(visitor, provider)
    assert answer.status_code in (401, 429)
    assert visitor.session() == ""


def test_an_answer_that_the_browser_did_not_ask_for_is_refused(visitor: Visitor, provider: IdentityProvider) -> None:
    """Otherwise a link of an attacker would sign people in as the attacker."""
    with Visitor(visitor.url) as attacker:
        stolen = code_of(provider, to_provider(attacker))
    assert come_back(visitor, **stolen).status_code in (401, 429)
    to_provider(visitor)
    assert come_back(visitor, **stolen).status_code in (401, 429)
    assert visitor.session() == ""


def test_a_code_counts_once_and_only_with_its_verifier(visitor: Visitor, provider: IdentityProvider) -> None:
    brought = code_of(provider, to_provider(visitor))
    pending = visitor.client.cookies.get("outcrop_sign_in") or ""
    assert come_back(visitor, **brought).status_code == 200
    visitor.client.cookies.set("outcrop_sign_in", pending, domain="127.0.0.1", path="/console/sign-in")
    assert come_back(visitor, **brought).status_code in (401, 429)
    first, asked = code_of(provider, to_provider(visitor)), to_provider(visitor)
    assert come_back(visitor, **{**first, "state": asked["state"]}).status_code in (401, 429)


def test_what_the_provider_refuses_is_said(visitor: Visitor) -> None:
    asked = to_provider(visitor)
    answer = come_back(visitor, state=asked["state"], error="access_denied")
    assert answer.status_code in (401, 429)
    if answer.status_code == 401:
        assert "The issuer refused the sign-in: access_denied." in answer.text
    assert "<img" not in come_back(visitor, state=to_provider(visitor)["state"], error="<img src=x>").text.replace(
        '<img src="/console', ""
    )


def test_unknown_and_unreachable_issuers_are_said(visitor: Visitor, provider: IdentityProvider) -> None:
    assert visitor.get("/sign-in/nobody").status_code == 404
    assert visitor.get("/sign-in/nobody/done?code=x&state=y").status_code in (401, 429)


def test_the_way_back_leads_to_pages_of_the_console_only(visitor: Visitor, provider: IdentityProvider) -> None:
    for wanted in ("https://evil.example", "//evil.example", "/console.evil.example", "/consolex", "/\\evil.example"):
        asked = to_provider(visitor, f"/sign-in/corp?next={wanted}")
        assert 'content="0; url=/console"' in come_back(visitor, **code_of(provider, asked)).text, wanted
    asked = to_provider(visitor, "/sign-in/corp?next=/console/usage%3Frange%3D7d%26group_by%3Dkey")
    text = come_back(visitor, **code_of(provider, asked)).text
    assert 'content="0; url=/console/usage?range=7d&amp;group_by=key"' in text


def test_cookies_hold_no_token_and_only_the_pending_one_crosses_sites(
    visitor: Visitor, provider: IdentityProvider
) -> None:
    asked = to_provider(visitor)
    again = visitor.client.get("/console/sign-in/corp", follow_redirects=False)
    cookie = next(each for each in again.headers.get_list("set-cookie") if each.startswith("outcrop_sign_in="))
    assert all(part in cookie.lower() for part in ("httponly", "samesite=lax", "path=/console/sign-in"))
    answer = come_back(visitor, **code_of(provider, to_provider(visitor)))
    sent = answer.headers.get_list("set-cookie")
    session = next(each for each in sent if each.startswith("outcrop_console="))
    assert all(part in session.lower() for part in ("httponly", "samesite=strict"))
    assert len(session) < 1000
    assert any(each.startswith('outcrop_sign_in=""') for each in sent)
    assert asked["state"] not in session


def test_a_session_ends_with_its_role(upstream_url: str, provider: IdentityProvider) -> None:
    """The issuer is asked again after a while, and what it says then counts."""
    provider.claims, provider.altered = ADMIN, {}
    with governed(upstream_url, **settings(provider, 10)) as url, Visitor(url) as visitor:
        provider.redirect_uris.append(f"{url}/console/sign-in/corp/done")
        signed_in(visitor, provider)
        assert visitor.get("/teams").status_code == 200
        with later(11):
            answer = visitor.client.get("/console/teams?cursor=", follow_redirects=False)
            assert answer.headers["location"] == "/console/sign-in/corp?next=%2Fconsole%2Fteams%3Fcursor%3D"
            part = visitor.client.get("/console", headers={"hx-request": "true"}, follow_redirects=False)
            assert (part.status_code, part.headers["hx-redirect"]) == (401, "/console/sign-in/corp?next=%2Fconsole")
        provider.claims = {**ADMIN, "groups": []}
        assert signed_in(visitor, provider).status_code == 403
        assert "<title>Sign in</title>" in visitor.get("/teams").text


def test_a_session_ends_when_the_rules_change_or_the_team_is_deleted(
    upstream_url: str, provider: IdentityProvider, url: str
) -> None:
    provider.claims, provider.altered = ADMIN, {}
    with Visitor(url) as visitor:
        signed_in(visitor, provider)
        cookie = visitor.session()
    changed = settings(provider)
    changed["config_toml"] = str(changed["config_toml"]).replace("platform-admins", "others")
    with governed(upstream_url, **changed) as other, Visitor(other) as later:
        later.client.cookies.set("outcrop_console", cookie)
        assert "<title>Sign in</title>" in later.get("/teams").text
    provider.claims = {**MEMBER, "groups": ["ml-vision"]}
    with governed(upstream_url, **settings(provider)) as third, Visitor(third) as member:
        provider.redirect_uris.append(f"{third}/console/sign-in/corp/done")
        team = api(third, "POST", "/teams", json={"name": "research"})["id"]
        signed_in(member, provider)
        assert member.get("/usage").status_code == 200
        api(third, "PATCH", f"/teams/{team}", json={"status": "blocked"})
        deadline = time.monotonic() + 30
        while "<title>Sign in</title>" not in member.get("/usage").text:
            assert time.monotonic() < deadline, "the session goes on"
            time.sleep(0.2)


def test_signing_out_ends_the_session_everywhere(visitor: Visitor, provider: IdentityProvider) -> None:
    signed_in(visitor, provider)
    copied = visitor.session()
    token = visitor.get().text.partition('data-token="')[2].partition('"')[0]
    assert "<title>Sign in</title>" in visitor.post("/sign-out", token=token).text
    with Visitor(visitor.url) as thief:
        thief.client.cookies.set("outcrop_console", copied)
        assert "<title>Sign in</title>" in thief.get("/teams").text


def signed_out(visitor: Visitor) -> httpx.Response:
    token = visitor.get().text.partition('data-token="')[2].partition('"')[0]
    assert token
    return visitor.client.post("/console/sign-out", data={"csrf_token": token}, follow_redirects=False)


def test_signing_out_leads_to_the_page_of_the_provider_that_ends_its_session(
    visitor: Visitor, provider: IdentityProvider, url: str
) -> None:
    signed_in(visitor, provider)
    with ending_sessions(provider, "logout?tenant=1&lang=en"):
        answer = signed_out(visitor)
    (target,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    parts = urlsplit(html.unescape(target))
    assert target.startswith(f"{provider.url}/logout?")
    assert parse_qs(parts.query) == {
        "tenant": ["1"],
        "lang": ["en"],
        "client_id": [CLIENT],
        "post_logout_redirect_uri": [f"{url}/console/sign-in"],
    }
    assert visitor.session() == ""
    assert "<title>Sign in</title>" in visitor.get().text


def test_signing_out_of_an_issuer_without_such_a_page_leads_to_the_form(
    visitor: Visitor, provider: IdentityProvider
) -> None:
    signed_in(visitor, provider)
    with ending_sessions(provider, ""):
        answer = signed_out(visitor)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")


def test_signing_out_while_the_issuer_is_down_ends_the_session_here_and_says_so(
    visitor: Visitor, provider: IdentityProvider
) -> None:
    signed_in(visitor, provider)
    copied = visitor.session()
    with ending_sessions(provider):
        provider.answer = 500, {}, b""
        try:
            answer = signed_out(visitor)
        finally:
            provider.answer = None
    assert answer.status_code == 503
    assert "You are signed out here, and may still be signed in at corp" in answer.text
    assert visitor.session() == ""
    with Visitor(visitor.url) as thief:
        thief.client.cookies.set("outcrop_console", copied)
        assert "<title>Sign in</title>" in thief.get("/teams").text


def test_a_page_that_ends_sessions_must_have_tls_as_the_issuer_has(
    visitor: Visitor, provider: IdentityProvider
) -> None:
    def url_of(path: str) -> str:
        return "javascript:alert(1)" if path == "logout" else f"{provider.url}/{path}"

    signed_in(visitor, provider)
    with ending_sessions(provider), mock.patch.object(provider, "url_of", url_of):
        answer = signed_out(visitor)
    assert answer.status_code == 503
    assert "javascript" not in answer.text


def test_signing_out_with_a_session_that_has_expired_signs_nobody_in_again(
    visitor: Visitor, provider: IdentityProvider
) -> None:
    signed_in(visitor, provider)
    token = visitor.get().text.partition('data-token="')[2].partition('"')[0]
    with later(901), ending_sessions(provider):
        forged = visitor.client.post("/console/sign-out", data={"csrf_token": "x"}, follow_redirects=False)
        assert forged.status_code == 403
        sent = {"csrf_token": token}
        answer = visitor.client.post(
            "/console/sign-out", data=sent, headers={"referer": f"{visitor.url}/console"}, follow_redirects=False
        )
    assert f"{provider.url}/logout?" in answer.text
    assert visitor.session() == ""


@pytest.mark.parametrize(
    ("referer", "wanted"),
    [
        ("http://[::1", "/console"),
        ("not a url", "/console"),
        ("https://evil.example/console.evil", "/console"),
        ("http://gateway/console/usage?range=7d#top", "/console/usage?range=7d"),
    ],
)
def test_a_form_of_an_expired_session_leads_back_to_its_page(
    visitor: Visitor, provider: IdentityProvider, referer: str, wanted: str
) -> None:
    signed_in(visitor, provider)
    with later(901):
        answer = visitor.client.post("/console/keys/new", headers={"referer": referer}, follow_redirects=False)
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query)["next"] == [wanted]


def test_a_key_works_beside_it(visitor: Visitor) -> None:
    assert "<title>Overview</title>" in visitor.sign_in(ADMIN_KEY).text
