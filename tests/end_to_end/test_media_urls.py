"""Media by URL in every dialect, and the refusal of internal addresses."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.execution import media, public_names
from tests.servers import KEY, gateway, http_reply, read_request, upstream

HEADERS = {"authorization": f"Bearer {KEY}"}
PNG = b"\x89PNG"


def endpoints(url: str, model: str) -> list[tuple[str, Any]]:
    chat = {"type": "image_url", "image_url": {"url": url}}
    source = {"type": "image", "source": {"type": "url", "url": url}}
    response = {"type": "input_image", "image_url": url}
    return [
        ("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": [chat]}]}),
        ("/v1/messages", {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}),
        ("/v1/responses", {"model": model, "input": [{"role": "user", "content": [response]}]}),
    ]


@pytest.fixture
def picture() -> Iterator[str]:
    async def handle(reader: Any, writer: Any) -> None:
        while True:
            await read_request(reader)
            writer.write(http_reply(PNG, content_type="image/png"))
            await writer.drain()

    with upstream(handle) as url:
        yield f"{url}/picture.png"


@pytest.mark.parametrize("model", ["scripted.media-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_public_image_is_fetched_and_sent(
    emulator_url: str, picture: str, monkeypatch: pytest.MonkeyPatch, model: str, index: int
) -> None:
    monkeypatch.setattr(public_names, "is_public", lambda address: True)
    port = int(picture.split(":")[2].partition("/")[0])
    monkeypatch.setitem(media._PORTS, "of the image", port)
    with gateway(emulator_url, fetch_media=True) as base:
        path, body = endpoints(picture, model)[index]
        answer = httpx.post(base + path, json=body, headers=HEADERS)
        assert answer.status_code == 200, answer.text
        if model.startswith("scripted"):
            assert "png" in answer.text


@pytest.mark.parametrize("fetch_media", [False, True])
@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "http://169.254.169.254/latest/meta-data/", "http://[::1]/"])
def test_internal_addresses_are_refused(emulator_url: str, url: str, fetch_media: bool) -> None:
    with gateway(emulator_url, fetch_media=fetch_media) as base:
        for model in ("scripted.media-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"):
            for path, body in endpoints(url, model):
                answer = httpx.post(base + path, json=body, headers=HEADERS)
                assert answer.status_code == 400, answer.text
