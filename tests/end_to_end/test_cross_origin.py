"""CORS_ORIGINS: scripts of the origins that it names, and no others, may call the gateway."""

import httpx
import pytest

from app.config.entries import parse_origins
from tests.servers import KEY, gateway

PAGE = "https://app.example.com"
CHAT = {"model": "scripted.echo-v1:0", "messages": [{"role": "user", "content": "hello"}]}


def preflight(base: str, origin: str, method: str = "POST") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }
    return httpx.options(f"{base}/v1/chat/completions", headers=headers)


def chat(base: str, origin: str, key: str = KEY, *, stream: bool = False) -> httpx.Response:
    headers = {"origin": origin, "authorization": f"Bearer {key}"}
    return httpx.post(f"{base}/v1/chat/completions", json={**CHAT, "stream": stream}, headers=headers)


def test_nothing_is_allowed_by_default(gateway_url: str) -> None:
    assert preflight(gateway_url, PAGE).status_code == 405
    assert not [name for name in chat(gateway_url, PAGE).headers if name.startswith("access-control")]


def test_only_named_origins_are_allowed(emulator_url: str) -> None:
    with gateway(emulator_url, cors_origins=f"http://localhost:5173, {PAGE}") as base:
        allowed = preflight(base, PAGE)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert allowed.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-lang"
        assert {"GET", "POST", "DELETE"} <= set(allowed.headers["access-control-allow-methods"].split(", "))
        refused = preflight(base, "https://other.example.com")
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (400, False)
        assert "access-control-allow-origin" not in chat(base, "https://other.example.com").headers


@pytest.mark.parametrize("stream", [False, True])
def test_page_reads_responses_and_errors(emulator_url: str, *, stream: bool) -> None:
    with gateway(emulator_url, cors_origins=PAGE) as base:
        answer = chat(base, PAGE, stream=stream)
        assert (answer.status_code, "hello" in answer.text) == (200, True)
        wrong = chat(base, PAGE, "wrong-key-of-24-letters!", stream=stream)
        assert wrong.status_code == 401
        for each in (answer, wrong, httpx.get(f"{base}/nowhere", headers={"origin": PAGE})):
            assert each.headers["access-control-allow-origin"] == PAGE
            assert each.headers["access-control-expose-headers"] == "*"
            assert each.headers["x-request-id"]
            assert "access-control-allow-credentials" not in each.headers


def test_star_allows_every_origin(emulator_url: str) -> None:
    with gateway(emulator_url, cors_origins="*") as base:
        assert preflight(base, PAGE).headers["access-control-allow-origin"] == "*"
        assert chat(base, PAGE).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "text", ["app.example.com", f"{PAGE}/", "https://*.example.com", "HTTPS://app.example.com", "null"]
)
def test_origin_that_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="entry 2 must be"):
        parse_origins(f"{PAGE},{text}")
