"""Signing in at an identity provider in a real Chromium: the way there and back, the end of a role, and signing out."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.browser import running_browser
from tests.console.conftest import governed
from tests.console.identity_provider import IdentityProvider, running_provider
from tests.console.test_isolation import api
from tests.console.test_issuers import ADMIN, MEMBER, ending_sessions, later, settings

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.npm, pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with running_provider() as made:
        yield made


@pytest.fixture(scope="module")
def url(upstream_url: str, provider: IdentityProvider) -> Iterator[str]:
    with governed(upstream_url, **settings(provider)) as made:
        provider.redirect_uris += [f"{made}/console/sign-in/corp/done", f"{made}/console/sign-in"]
        api(made, "POST", "/teams", json={"name": "research"})
        yield made


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    with running_browser() as made:
        yield made


@pytest.fixture
def page(browser: Browser, provider: IdentityProvider) -> Iterator[Page]:
    provider.claims, provider.altered = ADMIN, {}
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        made = context.new_page()
        made.set_default_timeout(20_000)
        yield made


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/console")
    page.get_by_role("link", name="Sign in with corp", exact=True).click()
    expect(page).to_have_title("Provider")
    page.get_by_role("link", name="Continue").click()
    expect(page).to_have_title("Overview")


def test_people_sign_in_at_the_provider_and_out_here(page: Page, url: str) -> None:
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page, url)
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Keys", exact=True)).to_be_visible()
    expect(page.get_by_text("alice@example.com")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title("Sign in")
    page.goto(f"{url}/console/keys")
    expect(page).to_have_title("Sign in")
    # the provider still knows this browser, and asks nobody
    page.get_by_role("link", name="Sign in with corp").click()
    expect(page).to_have_title("Overview")
    assert wrong == []


def test_signing_out_ends_the_session_at_a_provider_that_has_a_page_for_it(
    page: Page, url: str, provider: IdentityProvider
) -> None:
    with ending_sessions(provider):
        sign_in(page, url)
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_title("Sign in")
        assert page.url == f"{url}/console/sign-in"
        # the provider does not know this browser any more
        page.get_by_role("link", name="Sign in with corp").click()
        expect(page).to_have_title("Provider")


def test_the_browser_passes_the_provider_again_unnoticed_until_the_role_is_gone(
    page: Page, url: str, provider: IdentityProvider
) -> None:
    sign_in(page, url)
    page.goto(f"{url}/console/usage?range=7d")
    cookie = page.context.cookies()
    with later(901):
        page.get_by_role("link", name="Teams", exact=True).click()
        expect(page).to_have_title("Teams")
        assert page.url == f"{url}/console/teams"
        assert page.context.cookies() != cookie
    provider.claims = MEMBER
    with later(2 * 901):
        page.goto(f"{url}/console/keys")
        expect(page.get_by_role("alert")).to_contain_text("for administrators")
    provider.claims = {**ADMIN, "groups": []}
    with later(3 * 901):
        page.goto(f"{url}/console/usage")
        expect(page).to_have_title("Sign in")
        expect(page.get_by_role("alert")).to_contain_text("No rule of this deployment gives you a team")
