"""A visitor of the console that reads its pages without a browser."""

import re
from typing import Any, Self

import httpx

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Visitor:
    """Keeps cookies, as a browser does, and follows redirections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(
            base_url=url, follow_redirects=True, timeout=20, headers={"sec-fetch-site": "same-origin"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return self.client.get(f"/console{path}", **options)

    def post(
        self, path: str, token: str | None = None, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Send a form, with the token of the page unless another one is named."""
        shown = self.token() if token is None else token
        origin = {"origin": self.url, **(headers or {})}
        return self.client.post(f"/console{path}", data={"csrf_token": shown, **fields}, headers=origin)

    def token(self) -> str:
        found = TOKEN.search(self.get("/sign-in").text)
        assert found, "the page has no form"
        return found[1]

    def sign_in(self, key: str) -> httpx.Response:
        return self.post("/sign-in", admin_key=key)

    def session(self) -> str:
        """Return the value of the session's cookie."""
        return self.client.cookies.get("outcrop_console", "")


def signed_in(url: str, key: str) -> Visitor:
    visitor = Visitor(url)
    answer = visitor.sign_in(key)
    assert answer.status_code == 200, answer.text
    assert "<title>Overview</title>" in answer.text
    return visitor
