"""A cheap Bedrock for benchmarks: the model's name alone determines the response.

    bench.complete             one reply
    bench.paced-5-200          a stream of 200 chunks, one each 5 ms; each chunk's text is the time of sending in ns
    anthropic.claude-…         the same in Claude's format: one reply, or 200 chunks, one each 5 ms

Run it as a process: `python -m benchmarks.upstream PORT`.
"""

import asyncio
import gc
import re
import sys
import time
from base64 import b64encode

import uvloop

from app.wire import json
from app.wire.eventstream import encode_frame

_PACED = re.compile(rb"bench\.paced-(\d+)-(\d+)")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TEXT = "An answer of some length, as models give it. " * 12
_USAGE = {"inputTokens": 400, "outputTokens": 120, "totalTokens": 520}


def _complete_response(document: object) -> bytes:
    body = json.dumps(document)
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-amzn-requestid: bench\r\ncontent-length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body


CONVERSE = _complete_response(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": _TEXT}]}},
        "stopReason": "end_turn",
        "usage": _USAGE,
        "metrics": {"latencyMs": 1},
    }
)
_CLAUDE_USAGE = {"input_tokens": 400, "output_tokens": 120}
_CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": _TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": _CLAUDE_USAGE,
}
INVOKE = _complete_response(_CLAUDE)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: bench\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(kind: str, payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(payload))


def _claude_event(payload: object) -> bytes:
    return _event("chunk", {"bytes": b64encode(json.dumps(payload)).decode(), "p": "abcdefghij"})


def _converse_delta(text: str) -> bytes:
    return _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefghij"})


def _claude_delta(text: str) -> bytes:
    return _claude_event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


_CONVERSE_START = _event("messageStart", {"role": "assistant", "p": "abc"})
_CONVERSE_END = b"".join(
    (
        _event("contentBlockStop", {"contentBlockIndex": 0, "p": "abc"}),
        _event("messageStop", {"stopReason": "end_turn", "p": "abc"}),
        _event("metadata", {"usage": _USAGE, "metrics": {"latencyMs": 1}, "p": "abc"}),
    )
)
_CLAUDE_START = _claude_event(
    {"type": "message_start", "message": {**_CLAUDE, "content": [], "stop_reason": None}}
) + _claude_event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
_CLAUDE_END = b"".join(
    map(
        _claude_event,
        (
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": _CLAUDE_USAGE},
            {
                "type": "message_stop",
                "amazon-bedrock-invocationMetrics": {"inputTokenCount": 400, "outputTokenCount": 120},
            },
        ),
    )
)


class Upstream(asyncio.Protocol):
    """A connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._expected_length = 0
        self._target = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request, and send its response."""
        self._received += data
        if not self._expected_length:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end])
            length = _LENGTH.search(head)
            self._expected_length = end + 4 + (int(length[1]) if length else 0)
            self._target = head.split(b" ", 2)[1]
        if len(self._received) >= self._expected_length:
            self._received.clear()
            self._expected_length = 0
            self._respond(self._target)

    def _respond(self, target: bytes) -> None:
        is_claude = b"/invoke" in target
        if not target.endswith(b"-stream"):
            self._write(INVOKE if is_claude else CONVERSE)
            return
        paced = _PACED.search(target)
        interval, count = (int(paced[1]) / 1000, int(paced[2])) if paced else (0.005, 200)
        start, delta, end = (
            (_CLAUDE_START, _claude_delta, _CLAUDE_END)
            if is_claude
            else (_CONVERSE_START, _converse_delta, _CONVERSE_END)
        )
        self._write(_STREAM_HEAD + _chunk(start))
        begun = self._loop.time()

        def tick(number: int) -> None:
            if self._transport.is_closing():
                return
            if number == count:
                self._write(_chunk(end) + b"0\r\n\r\n")
                return
            self._write(_chunk(delta(f"{time.monotonic_ns()} ")))
            self._loop.call_at(begun + (number + 2) * interval, tick, number + 1)

        self._loop.call_at(begun + interval, tick, 0)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Serve until the process ends. Nothing is collected: a pause for it would count as one of the gateway."""
    gc.disable()
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
