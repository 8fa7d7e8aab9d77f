"""The golden cases in Bedrock's dialect: a Converse body, its reply and its frames pass unchanged over sockets.

The bodies and replies are those of the cases of OpenAI chat, in a JSON format that the gateway never writes.
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


class ScriptedUpstream:
    """An upstream that sends `answer` to each request, and keeps the body of the last one."""

    def __init__(self) -> None:
        self.answer = b""
        self.body = b""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, self.body = await read_request(reader)
            writer.write(self.answer)
            await writer.drain()


@pytest.fixture(scope="module")
def script() -> ScriptedUpstream:
    return ScriptedUpstream()


@pytest.fixture(scope="module")
def url(script: ScriptedUpstream) -> Iterator[str]:
    with upstream(script.handle) as bedrock, gateway(bedrock) as base:
        yield base


def unusual_json(document: Any) -> bytes:
    """Serialize JSON unlike the gateway: if it arrives unchanged, it was not parsed and serialized again."""
    return json.dumps(document, indent=3, ensure_ascii=True).replace(": ", " : ").encode()


def read(situation: str, name: str) -> Any:
    return json.loads((golden("openai/chat", situation) / name).read_text())


@pytest.mark.parametrize("situation", SITUATIONS)
def test_golden_request_and_reply_pass_unchanged(script: ScriptedUpstream, url: str, situation: str) -> None:
    body, reply = unusual_json(read(situation, "call.json")["converse"]), unusual_json(read(situation, "reply.json"))
    script.answer = http_reply(reply)
    answer = httpx.post(f"{url}/model/a.b/converse", content=body, headers=HEADERS)
    assert (answer.status_code, answer.content, script.body) == (200, reply, body)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_golden_stream_passes_unchanged(script: ScriptedUpstream, url: str, situation: str) -> None:
    body = unusual_json(read(situation, "call.json")["converse"])
    frames = b""
    for event in unfold(read(situation, "reply.json")):
        ((kind, payload),) = event.items()
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        frames += encode_frame(headers, unusual_json(payload))
    pieces = [frames[start : start + 61] for start in range(0, len(frames), 61)]
    script.answer = CHUNKED_STREAM + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"
    answer = httpx.post(f"{url}/model/a.b/converse-stream", content=body, headers=HEADERS)
    assert (answer.status_code, answer.content, script.body) == (200, frames, body)
