"""Recorded traffic of Bedrock, if `../shared/recordings` exists.

Passthrough mode changes no byte of it, and OpenAI chat returns the same text, calls, finish reason and tokens. The golden
cases cover what the recordings showed.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

from tests.servers import CHUNKED_STREAM, KEY, chunk, gateway, http_reply, read_request, upstream

FOLDER = Path(__file__).parents[3] / "shared" / "recordings"
RECORDED_CALLS: list[Any] = [
    pytest.param(each, id=f"{path.stem[:60]}-{number}")
    for path in sorted(FOLDER.glob("*.json"))
    for number, each in enumerate(json.loads(path.read_text())["interactions"])
    if "bedrock-runtime" in each["host"]
]
CONVERSE_CALLS = [
    each
    for each in RECORDED_CALLS
    if each.values[0]["path"].endswith(("/converse", "/converse-stream")) and each.values[0]["status"] == 200
]
if not RECORDED_CALLS:
    pytestmark = pytest.mark.skip("../shared/recordings does not exist")

REASONS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "stop_sequence": "stop"}


class Replay:
    """An upstream that sends one recorded response to each request, a stream in small pieces."""

    def __init__(self) -> None:
        self.recorded: Any = None
        self.seen: list[tuple[bytes, bytes]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.seen.append(await read_request(reader))
            if self.recorded.get("eventstream_base64"):
                data = b64decode(self.recorded["eventstream_base64"])
                writer.write(CHUNKED_STREAM)
                for start in range(0, len(data), 97):
                    writer.write(chunk(data[start : start + 97]))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            else:
                status = f"{self.recorded['status']} Recorded"
                writer.write(http_reply(self.body(), status))
            await writer.drain()

    def body(self) -> bytes:
        return json.dumps(self.recorded["response"], indent=1).encode()


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay()


@pytest.fixture(scope="module")
def base(replay: Replay) -> Iterator[str]:
    with upstream(replay.handle) as url, gateway(url, max_body_bytes=100_000_000) as made:
        yield made


@pytest.mark.parametrize("recorded", RECORDED_CALLS)
def test_passthrough_changes_no_byte(replay: Replay, base: str, recorded: Any) -> None:
    replay.recorded = recorded
    replay.seen.clear()
    sent = json.dumps(recorded["request"]).encode()
    url = httpx.URL(base, raw_path=recorded["path"].encode())
    answer = httpx.request(recorded["method"], url, content=sent, headers={"authorization": f"Bearer {KEY}"})
    # the gateway also looks up the model of an ARN
    head, received = next(request for request in replay.seen if b" /inference-profiles/" not in request[0])
    assert head.split(b" ")[1].decode() == recorded["path"]
    assert received == sent
    assert answer.status_code == recorded["status"]
    wanted = b64decode(recorded["eventstream_base64"]) if recorded.get("eventstream_base64") else replay.body()
    assert answer.content == wanted


def read_independently(recorded: Any) -> Any:
    """Return the text, calls, stop reason and usage of a recorded response, parsed without code of the gateway."""
    if not recorded.get("eventstream_base64"):
        reply = recorded["response"]
        blocks = reply["output"]["message"]["content"]
        text = "".join(
            block.get("text", "")
            or "".join(part["text"] for part in block.get("citationsContent", {}).get("content", []))
            for block in blocks
        )
        calls = [
            block["toolUse"]
            for block in blocks
            if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use"
        ]
        return (
            text,
            [(call["toolUseId"], call["name"], call["input"]) for call in calls],
            reply["stopReason"],
            reply["usage"],
        )
    buffer = EventStreamBuffer()
    buffer.add_data(b64decode(recorded["eventstream_base64"]))
    text, started, pieces, stop, usage = "", {}, {}, "", {}
    for message in buffer:
        kind, payload = message.headers[":event-type"], json.loads(message.payload)
        index = payload.get("contentBlockIndex")
        if kind == "contentBlockStart" and "toolUse" in payload["start"]:
            if payload["start"]["toolUse"].get("type") != "server_tool_use":
                started[index] = payload["start"]["toolUse"]
        elif kind == "contentBlockDelta":
            text += payload["delta"].get("text", "")
            pieces[index] = pieces.get(index, "") + payload["delta"].get("toolUse", {}).get("input", "")
        elif kind == "messageStop":
            stop = payload["stopReason"]
        elif kind == "metadata":
            usage = payload["usage"]
    calls = [
        (call["toolUseId"], call["name"], json.loads(pieces.get(index) or "{}")) for index, call in started.items()
    ]
    return text, calls, stop, usage


@pytest.mark.parametrize("recorded", CONVERSE_CALLS)
def test_chat_returns_the_recorded_content_and_usage(replay: Replay, base: str, recorded: Any) -> None:
    replay.recorded = recorded
    is_streamed = bool(recorded.get("eventstream_base64"))
    body = {
        "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "messages": [{"role": "user", "content": "x"}],
        "stream": is_streamed,
        "stream_options": {"include_usage": True},
    }
    answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    text, calls, stop, usage = read_independently(recorded)
    got_text, got_calls, reason, got_usage = (
        parse_streamed(answer.text) if is_streamed else parse_complete(answer.json())
    )
    assert got_text == text
    assert got_calls == calls
    assert reason == ("stop" if stop == "tool_use" and not calls else REASONS[stop])
    assert got_usage["total_tokens"] == usage["totalTokens"]
    assert got_usage["completion_tokens"] == usage["outputTokens"]
    cached = usage.get("cacheReadInputTokens", 0)
    assert got_usage["prompt_tokens"] == usage["inputTokens"] + cached + usage.get("cacheWriteInputTokens", 0)
    assert got_usage["prompt_tokens_details"]["cached_tokens"] == cached


def parse_complete(completion: Any) -> Any:
    choice = completion["choices"][0]
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in choice["message"].get("tool_calls", [])
    ]
    return choice["message"]["content"] or "", calls, choice["finish_reason"], completion["usage"]


def parse_streamed(frames: str) -> Any:
    lines = [line.removeprefix("data: ") for line in frames.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    text, calls, reason, usage = "", {}, None, None
    for line in lines:
        document = json.loads(line)
        usage = document["usage"] or usage
        for choice in document["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
            for piece in choice["delta"].get("tool_calls", []):
                call = calls.setdefault(piece["index"], {"arguments": ""})
                call.update({"id": piece["id"], "name": piece["function"]["name"]} if "id" in piece else {})
                call["arguments"] += piece["function"]["arguments"]
    return text, [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls.values()], reason, usage


MANTLE_CALLS: list[Any] = [
    pytest.param(each, id=f"{path.stem[:60]}-{number}")
    for path in sorted(FOLDER.glob("*mantle*.json"))
    for number, each in enumerate(json.loads(path.read_text())["interactions"])
    if not isinstance(each["response"].get("text"), str)
]


@pytest.mark.parametrize("recorded", MANTLE_CALLS)
def test_native_responses_of_mantle_keep_every_field(replay: Replay, base: str, recorded: Any) -> None:
    replay.recorded = recorded
    replay.seen.clear()
    headers = {"authorization": f"Bearer {KEY}"}
    request = {**recorded["request"], "store": False}
    answer = httpx.post(f"{base}/v1/responses", json=request, headers=headers).json()
    head, body = replay.seen[-1]
    assert head.split()[1].decode() == recorded["path"]
    sent = json.loads(body)
    include = {"include": ["reasoning.encrypted_content"]} if "include" in sent else {}
    # reasoning that this gateway did not sign is dropped
    items = [item for item in recorded["request"]["input"] if item.get("type") != "reasoning"]
    assert sent == {**recorded["request"], "input": items, "store": False, **include}
    for name, value in recorded["response"].items():
        if name not in ("model", "store", "output", "tools", "tool_choice", "previous_response_id"):
            assert answer[name] == value, name
    for made, given in zip(answer["output"], recorded["response"]["output"], strict=True):
        for name, value in given.items():
            if name not in ("call_id", "encrypted_content"):
                assert made[name] == value
