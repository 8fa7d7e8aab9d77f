"""A real browser for the tests of the console: Chromium, driven by Playwright."""

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Playwright, expect, sync_playwright

AXE = gzip.decompress((Path(__file__).parent / "vendor" / "axe.min.js.gz").read_bytes()).decode()
# of a machine that is busy with other tests
_SECONDS = 60
expect.set_options(timeout=_SECONDS * 1000)
INSTALLED = ("chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable")
MISSING = (
    "the tests of the console need Chromium, and there is none: run ./run_tests.sh console, which tries to install it, "
    "or apt-get install chromium-headless-shell"
)


def launched(playwright: Playwright) -> Browser:
    """Start a Chromium: one that is installed, or Playwright's own."""
    # as root, Chromium needs it; Debian's has no sandbox of its own in containers
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    installed = next(filter(None, map(shutil.which, INSTALLED)), None)
    try:
        return playwright.chromium.launch(executable_path=installed, args=options)
    except Error as error:
        raise AssertionError(MISSING if installed is None else f"{installed}: {error}") from None


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what went wrong on it: errors of scripts, and requests that leave the gateway."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        page.set_default_timeout(_SECONDS * 1000)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("request", lambda request: self._check(request.url))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{self.page.url}: {message.text}")

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"{self.page.url} asks {url}")

    def sign_in(self, key: str) -> None:
        self.page.goto(f"{self.url}/console")
        self.page.get_by_label("Admin key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Overview", exact=True).wait_for()

    def open(self, title: str) -> None:
        """Follow the link of the menu, and wait for the page."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=title, exact=True).click()
        self.page.get_by_role("heading", name=title, exact=True).wait_for()
        self.page.wait_for_load_state("networkidle")

    def problems(self) -> list[str]:
        """Return what is wrong with the page as it is shown now."""
        self.page.evaluate(AXE)
        report: Any = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found = [
            f"{self.page.url}: {each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in report["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        wide: list[str] = self.page.evaluate(
            """() => {
                const root = document.documentElement;
                const found = root.scrollWidth > root.clientWidth ? ["the page"] : [];
                for (const each of document.querySelectorAll("main *")) {
                    const scrolls = ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
                    if (scrolls && each.scrollWidth > each.clientWidth + 1) found.push(each.outerHTML.slice(0, 120));
                }
                return found;
            }"""
        )
        return [*self.wrong, *found, *(f"{self.page.url} scrolls sideways: {each}" for each in wide)]
