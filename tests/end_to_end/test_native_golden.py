"""The golden situations in Bedrock's own language: a Converse body, its reply and its frames, byte for byte, over sockets.

The bodies and replies are those that OpenAI chat's cases become; they are written here as no serialiser of ours would.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.converse.fold import unfold
from app.wire.eventstream import encode_frame
from tests.dialects.situations import SITUATIONS, golden
from tests.servers import CHUNKED_STREAM, KEY, chunk, gateway, http_reply, read_request, upstream

HEADERS = {"x-api-key": KEY, "content-type": "application/json"}


class Script:
    """An upstream that answers every request with what it holds, and keeps what it got."""

    def __init__(self) -> None:
        self.answer = b""
        self.body = b""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, self.body = await read_request(reader)
            writer.write(self.answer)
            await writer.drain()


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def url(script: Script) -> Iterator[str]:
    with upstream(script.handle) as bedrock, gateway(bedrock) as base:
        yield base


def odd(document: Any) -> bytes:
    """JSON as nobody here writes it: what comes out the same was not read and written again."""
    return json.dumps(document, indent=3, ensure_ascii=True).replace(": ", " : ").encode()


def read(situation: str, name: str) -> Any:
    return json.loads((golden("openai/chat", situation) / name).read_text())


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_whole_exchange_crosses_byte_for_byte(script: Script, url: str, situation: str) -> None:
    body, reply = odd(read(situation, "call.json")["converse"]), odd(read(situation, "reply.json"))
    script.answer = http_reply(reply)
    answer = httpx.post(f"{url}/model/a.b/converse", content=body, headers=HEADERS)
    assert (answer.status_code, answer.content, script.body) == (200, reply, body)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_stream_crosses_frame_for_frame_however_it_was_split(script: Script, url: str, situation: str) -> None:
    body = odd(read(situation, "call.json")["converse"])
    frames = b""
    for event in unfold(read(situation, "reply.json")):
        ((kind, payload),) = event.items()
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        frames += encode_frame(headers, odd(payload))
    pieces = [frames[start : start + 61] for start in range(0, len(frames), 61)]
    script.answer = CHUNKED_STREAM + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"
    answer = httpx.post(f"{url}/model/a.b/converse-stream", content=body, headers=HEADERS)
    assert (answer.status_code, answer.content, script.body) == (200, frames, body)
