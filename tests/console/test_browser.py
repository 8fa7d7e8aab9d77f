"""The console in a real Chromium, against a real gateway, PostgreSQL and the embedded Bedrock."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from benchmarks.console_data import fill
from tests.console.browser import Watched, running_browser
from tests.console.conftest import ADMIN_KEY, KEYS
from tests.console.test_isolation import call
from tests.databases import PostgresServer, postgres
from tests.servers import KEY, gateway

__all__ = ["postgres"]

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.npm, pytest.mark.browser, pytest.mark.timeout(180)]

PICTURES = Path(__file__).parents[2] / "docs" / "images"
ADMIN_PAGES = ("Overview", "Playground", "Keys", "Teams", "Usage", "Quotas", "Requests", "Models", "Audit")
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ECHO = "scripted.echo-v1:0"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def url(upstream_url: str, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    async def prepare() -> str:
        made = await postgres.create_with_schema()
        await fill(made, 120, 20_000)
        return made

    settings = {
        "database_url": asyncio.run(prepare()),
        "data_dir": tmp_path_factory.mktemp("data"),
        "key_pepper": "a-pepper-of-32-letters-exactly-x",
        "api_keys": KEYS,
        "admin_keys": f"ops={ADMIN_KEY}",
        "config_toml": f'[quotas."{MODEL}"]\ntokens_per_minute = 600000\n',
    }
    with gateway(upstream_url, **settings) as made:
        yield made


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    """Started after the gateway: Playwright runs an event loop in this thread."""
    with running_browser() as made:
        yield made


@pytest.fixture(params=[("light", DESKTOP), ("dark", PHONE)], ids=["desktop", "phone"])
def watched(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Watched]:
    scheme, size = request.param
    with browser.new_context(color_scheme=scheme, viewport=size) as context:
        yield Watched(context.new_page(), url)


@pytest.fixture
def desktop(browser: Browser, url: str) -> Iterator[Watched]:
    with browser.new_context(color_scheme="light", viewport=DESKTOP, permissions=["clipboard-write"]) as context:
        yield Watched(context.new_page(), url)


def test_every_page_of_an_administrator(watched: Watched) -> None:
    page = watched.page
    page.goto(f"{watched.url}/console")
    expect(page).to_have_title("Sign in")
    assert watched.problems() == []
    watched.sign_in(ADMIN_KEY)
    call(watched.url, KEY, MODEL, "someone")
    for title in ADMIN_PAGES:
        watched.open(title)
        expect(page).to_have_title(title)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        assert watched.problems() == []
    inner = (
        "?range=30d", "/keys/new", "/keys/k0000000000000000000000007", "/teams/new", "/teams/t0000000000000000000000003",
        "/usage?group_by=key", "/requests?source=process", "/requests/req-7", f"/models/{MODEL}", "/audit?action=key", "/keys/unknown",
    )  # fmt: skip
    for path in inner:
        watched.wrong.clear()
        page.goto(f"{watched.url}/console{path}", wait_until="networkidle")
        # the browser itself reports a status of 404
        problems = [each for each in watched.problems() if not (path == "/keys/unknown" and "404" in each)]
        assert problems == []


def test_every_page_of_a_caller(watched: Watched) -> None:
    watched.sign_in(KEY)
    links = watched.page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert links.all_inner_texts() == ["Overview", "Playground", "Usage", "Limits"]
    for title in ("Overview", "Playground", "Usage", "Limits"):
        watched.open(title)
        assert watched.problems() == []
    watched.page.get_by_role("button", name="Sign out").click()
    expect(watched.page).to_have_title("Sign in")


def test_a_new_key_calls_and_its_call_is_in_the_usage(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(ADMIN_KEY)
    desktop.open("Keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name").fill("from the browser")
    page.get_by_label("Team").select_option(label="Search")
    page.get_by_label("Budget (USD)").fill("5.00")
    page.get_by_label("Requests per minute").fill("60")
    page.get_by_label("Expires").fill("2031-12-31")
    page.get_by_role("button", name="Create").click()
    secret = page.locator("code").first.inner_text()
    assert re.fullmatch(r"oc_[0-9a-z]{26}_[0-9a-z]+", secret)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    expect(page.get_by_text("ANTHROPIC_BASE_URL=")).to_be_visible()
    assert desktop.problems() == []
    call(desktop.url, secret, MODEL, "a-new-user")
    desktop.open("Usage")
    page.get_by_label("Group by").select_option("user")
    page.get_by_label("End user").fill("a-new-user")
    for _ in range(60):
        page.get_by_role("button", name="Filter").click()
        page.wait_for_load_state("networkidle")
        if page.get_by_role("cell", name="a-new-user").count():
            break
        page.wait_for_timeout(500)
    expect(page.get_by_role("cell", name="a-new-user")).to_be_visible()
    assert "group_by=user" in page.url
    desktop.open("Requests")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()
    desktop.open("Quotas")
    expect(page.get_by_role("heading", name=MODEL)).to_be_visible()
    assert desktop.problems() == []


def test_a_key_is_rotated_and_revoked(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(ADMIN_KEY)
    page.goto(f"{desktop.url}/console/keys/k0000000000000000000000005")
    page.get_by_label("Time of grace").select_option(label="an hour")
    page.get_by_role("button", name="Rotate").click()
    expect(page.locator("code").first).to_have_text(re.compile("^oc_k0000000000000000000000005_"))
    page.get_by_role("link", name="Done").click()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator(".facts .tag").first).to_have_text("revoked")
    desktop.open("Audit")
    expect(page.get_by_role("cell", name="key.revoke").first).to_be_visible()
    assert desktop.problems() == []


def measure_of(result: Locator, name: str) -> Locator:
    return result.locator(".measures .term", has_text=re.compile(f"^{name}"))


@pytest.mark.parametrize("api", ["OpenAI chat", "Responses", "Messages", "Converse"])
@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "complete"])
def test_the_playground_speaks_each_api(desktop: Watched, api: str, streams: bool) -> None:
    page = desktop.page
    desktop.sign_in(KEY)
    desktop.open("Playground")
    page.get_by_label("Model").fill(MODEL)
    page.get_by_label("API").select_option(label=api)
    page.get_by_label("Message").fill("Say <b>hello</b> to everybody.")
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("System prompt").fill("Be kind.")
    page.get_by_label("Maximum tokens").fill("200")
    page.get_by_label("Stream the answer").set_checked(streams)
    page.locator(".exact summary").click()
    shown = page.locator("#request")
    expect(shown).to_contain_text("Be kind.")
    expect(shown).to_contain_text("POST /")
    page.get_by_role("button", name="Send").click()
    result = page.locator(".result")
    expect(result.locator("> .answer")).to_contain_text("Say <b>hello</b> to everybody.")
    for measure in ("Total", "Tokens", "Cost"):
        expect(measure_of(result, measure)).to_be_visible()
    expect(result).to_contain_text("$0.0")
    expect(result.get_by_role("alert")).to_have_count(0)
    # the conversation goes on
    page.get_by_label("Message").fill("And again.")
    page.get_by_role("button", name="Send").click()
    expect(result.locator(".turn")).to_have_count(3)
    expect(result.locator("> .answer")).to_contain_text("And again.")
    page.get_by_role("button", name="New conversation").click()
    assert desktop.problems() == []


def test_two_models_tools_images_schema_and_code(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(ADMIN_KEY)
    desktop.open("Playground")
    page.get_by_label("Model").fill(MODEL)
    page.get_by_label("Compare with").fill(ECHO)
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Images").set_input_files({"name": "pixel.png", "mimeType": "image/png", "buffer": PIXEL})
    page.get_by_label("Tools").fill("no list")
    expect(page.get_by_role("alert")).to_contain_text("Tools is not JSON")
    page.get_by_label("Tools").fill(
        '[{"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}]'
    )
    page.get_by_label("Message").fill("Compare.")
    for api, parts in {
        "OpenAI chat": ('"image_url"', '"function"'),
        "Responses": ('"input_image"', '"weather"'),
        "Messages": ('"base64"', '"input_schema"'),
        "Converse": ('"image"', '"toolSpec"'),
    }.items():
        page.get_by_label("API").select_option(label=api)
        for part in parts:
            assert part in (page.locator("#request").text_content() or ""), (api, part)
    page.get_by_label("API").select_option(label="OpenAI chat")
    page.get_by_label("Tools").fill("")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".result")).to_have_count(2)
    for result in page.locator(".result").all():
        expect(measure_of(result, "Tokens")).to_be_visible()
        expect(result.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Code").click()
    code = page.locator("#code code")
    for name, part in {
        "curl": "curl",
        "openai": "from openai",
        "anthropic": "from anthropic",
        "boto3": "import boto3",
    }.items():
        page.get_by_role("tab", name=name).click()
        expect(code).to_contain_text(part)
        if name != "curl":
            compile(code.inner_text(), name, "exec")
    assert desktop.problems() == []


TOOL = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
OPTIONS: dict[str, dict[str, str]] = {
    "plain": {"Model": ECHO},
    "image, temperature and a further field": {
        "Model": "amazon.nova-lite-v1:0",
        "System prompt": 'It\'s "kind".',
        "Temperature": "0.5",
        "Maximum tokens": "100",
        "Images": "pixel.png",
        "More fields": '{"top_p": 0.9}',
    },
    "tools and reasoning": {
        "Model": "us.anthropic.claude-opus-5-5",
        "Reasoning": "low",
        "Tools": json.dumps([TOOL]),
        "Maximum tokens": "3000",
    },
    "schema": {"Model": MODEL, "JSON schema": json.dumps(SCHEMA)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_code_of_a_call_runs(desktop: Watched, options: dict[str, str]) -> None:
    page = desktop.page
    desktop.sign_in(KEY)
    desktop.open("Playground")
    page.get_by_text("Options", exact=True).click()
    for name, value in options.items():
        field = page.get_by_label(name, exact=True)
        if name == "Images":
            field.set_input_files({"name": value, "mimeType": "image/png", "buffer": PIXEL})
        elif name == "Reasoning":
            field.select_option(value)
        else:
            field.fill(value)
    page.get_by_label("Message").fill('It\'s <"quoted"> & $HOME\nin two lines.')
    page.get_by_label("Stream the answer").set_checked("Images" not in options)
    if "Images" in options:
        expect(page.locator("#request")).to_contain_text("image_url")
    programs: dict[str, list[str]] = {}
    for api in ("OpenAI chat", "Responses", "Messages", "Converse"):
        page.get_by_label("API").select_option(label=api)
        page.get_by_role("button", name="Code").click()
        for name in ("curl", "openai", "anthropic", "boto3"):
            page.get_by_role("tab", name=name).click()
            code = page.locator("#code code").inner_text()
            if name in ("curl", "boto3") and "onverse" in code:
                # Converse has no field of this name
                code = code.replace("    top_p=0.9,\n", "").replace(',"top_p":0.9', "")
            program = (
                ["sh", "-c", f"{code.rstrip()} --fail-with-body -sS"]
                if name == "curl"
                else [sys.executable, "-c", code]
            )
            programs[f"{name} of {api}" if name in ("curl", "openai") else name] = program
        page.get_by_role("button", name="Close").click()
    environment = {**os.environ, "OUTCROP_KEY": KEY}
    running = {
        name: subprocess.Popen(
            program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        for name, program in programs.items()
    }
    for name, process in running.items():
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{name}: {output}"
        assert output.strip() not in ("", "None"), name
        if options["Model"] == ECHO and not name.startswith("curl"):
            assert "two lines" in output, f"{name}: {output}"
    assert desktop.problems() == []


def test_errors_of_the_gateway_are_shown(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(KEY)
    desktop.open("Playground")
    page.get_by_label("Model").fill("nobody.has-this-model-v1:0")
    page.get_by_label("Message").fill("Hello?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".result").get_by_role("alert")).to_contain_text("model")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_the_first_page_refreshes_itself_and_charts_are_drawn(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(ADMIN_KEY)
    expect(page.locator(".chart canvas")).to_have_count(5)
    for title in ("Spend", "Calls", "Tokens", "Errors and throttles"):
        expect(page.get_by_role("heading", name=f"{title} over time", exact=True)).to_be_visible()
    before = page.locator(".tile").nth(1).locator("data").get_attribute("value")
    call(desktop.url, KEY, MODEL, "refreshing")
    page.get_by_label("Range").select_option("30d")
    page.wait_for_url("**range=30d")
    expect(page.locator(".chart canvas")).to_have_count(5)
    with page.expect_response(lambda response: "range=30d" in response.url):
        page.evaluate("htmx.trigger('#live', 'refresh')")
    after = page.locator(".tile").nth(1).locator("data").get_attribute("value")
    assert before != after
    assert desktop.problems() == []


def test_the_theme_can_be_chosen_and_definitions_read_by_keyboard(desktop: Watched) -> None:
    page = desktop.page
    desktop.sign_in(ADMIN_KEY)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between dark and light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator(".tile .term").first.focus()
    expect(page.get_by_role("tooltip").first).to_be_visible()
    assert desktop.problems() == []


def test_definitions_are_read_on_a_phone(browser: Browser, url: str) -> None:
    with browser.new_context(viewport=PHONE, has_touch=True) as context:
        watched = Watched(context.new_page(), url)
        watched.sign_in(ADMIN_KEY)
        watched.open("Usage")
        for name, text in (("Input", "read from no cache"), ("Spend", "settled attempts cost")):
            watched.page.locator("thead .term", has_text=name).first.tap()
            expect(watched.page.get_by_role("tooltip").filter(has_text=text)).to_be_in_viewport()
        assert watched.problems() == []


def test_figures_and_times_follow_the_locale(browser: Browser, url: str) -> None:
    with browser.new_context(locale="de-DE", viewport=DESKTOP) as context:
        watched = Watched(context.new_page(), url)
        watched.sign_in(ADMIN_KEY)
        watched.page.goto(f"{url}/console?range=30d", wait_until="networkidle")
        expect(watched.page.locator(".tile", has_text="Spend").locator("data")).to_have_text(re.compile(r"\d,\d\d\s\$"))


def test_the_session_is_kept_from_scripts(desktop: Watched) -> None:
    desktop.sign_in(ADMIN_KEY)
    assert desktop.page.evaluate("document.cookie") == ""
    (cookie,) = [each for each in desktop.page.context.cookies() if each["name"] == "outcrop_console"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_pictures_of_the_documents(browser: Browser, url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With --update-golden, the pictures in docs/images are written anew."""
    folder = PICTURES if request.config.getoption("--update-golden") else tmp_path
    with browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 760}) as context:
        watched = Watched(context.new_page(), url)
        page = watched.page
        watched.sign_in(ADMIN_KEY)
        page.goto(f"{url}/console?range=30d", wait_until="networkidle")
        page.screenshot(path=folder / "console-overview.png")
        watched.open("Usage")
        page.screenshot(path=folder / "console-usage.png")
        watched.open("Playground")
        page.get_by_label("Model").fill("claude-sonnet-5-5")
        page.get_by_label("Compare with").fill("amazon.nova-pro-v1:0")
        page.get_by_label("Message").fill("What is a lease?")
        page.get_by_role("button", name="Send").click()
        expect(measure_of(page.locator(".result").last, "Cost")).to_be_visible()
        page.screenshot(path=folder / "console-playground.png")
        assert watched.problems() == []
    for name in ("console-overview", "console-usage", "console-playground"):
        assert (folder / f"{name}.png").stat().st_size > 20_000
        assert (PICTURES / f"{name}.png").exists()
