"""Faults of Bedrock, byte by byte, for each operation."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.wire import json
from app.wire.eventstream import encode_frame
from tests.servers import chunk, read_request

USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "fine"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 1},
}
EVENTS: list[tuple[str, Any]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "fine"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
]
CLAUDE_USAGE = {"input_tokens": 1, "output_tokens": 2}
CLAUDE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "fine"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": CLAUDE_USAGE,
}
CLAUDE_EVENTS: list[Any] = [
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "fine"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": CLAUDE_USAGE},
    {"type": "message_stop"},
]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "fine", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}
RESPONSE_EVENTS: list[Any] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress", "output": []}},
    {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "output_index": 0,
        "content_index": 0,
        "delta": "fine",
    },
    {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
]


@dataclass
class Response:
    """A valid response in pieces: the complete body, or the events of a stream."""

    content_type: str
    pieces: list[bytes]
    is_stream: bool = False

    @property
    def head(self) -> bytes:
        """The head of the response."""
        frame = "transfer-encoding: chunked" if self.is_stream else f"content-length: {len(self.pieces[0])}"
        return f"HTTP/1.1 200 OK\r\ncontent-type: {self.content_type}\r\n{frame}\r\n\r\n".encode()

    def framed(self, piece: bytes) -> bytes:
        """Frame a piece for the wire."""
        return chunk(piece) if self.is_stream else piece

    @property
    def end(self) -> bytes:
        """The bytes after the last piece."""
        return b"0\r\n\r\n" if self.is_stream else b""

    @property
    def wire(self) -> bytes:
        """The complete response."""
        return self.head + b"".join(map(self.framed, self.pieces)) + self.end


def event(kind: str, payload: bytes, name: str = ":event-type", message: str = "event") -> bytes:
    return encode_frame({name: kind, ":content-type": "application/json", ":message-type": message}, payload)


def response_to(path: str) -> Response:
    """Return the valid response for a path of Bedrock."""
    stream = "application/vnd.amazon.eventstream"
    if path.endswith("/converse"):
        return Response("application/json", [json.dumps(CONVERSE)])
    if path.endswith("/converse-stream"):
        return Response(stream, [event(kind, json.dumps(payload)) for kind, payload in EVENTS], True)
    if path.endswith("/invoke"):
        return Response("application/json", [json.dumps(CLAUDE)])
    if path.endswith("/invoke-with-response-stream"):
        frames = [event("chunk", json.dumps({"bytes": b64encode(json.dumps(each)).decode()})) for each in CLAUDE_EVENTS]
        return Response(stream, frames, True)
    if path.endswith("/responses"):
        return Response("application/json", [json.dumps(RESPONSE)])
    frames = [f"event: {each['type']}\ndata: ".encode() + json.dumps(each) + b"\n\n" for each in RESPONSE_EVENTS]
    return Response("text/event-stream", frames, True)


@dataclass
class UpstreamCall:
    """One request on a connection, with the methods that send its response."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    response: Response
    number: int

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def begin(self) -> None:
        """Send the head and the first piece, and wait so that the gateway reads them separately."""
        await self.send(self.response.head + self.response.framed(self.response.pieces[0]))
        await asyncio.sleep(0.25)

    def reset(self) -> None:
        """Reset the connection."""
        linger = struct.pack("ii", 1, 0)
        import socket

        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Play = Callable[[UpstreamCall], Awaitable[None]]


@dataclass
class Fault:
    """A fault.

    name: in the table.
    kind: of the resulting error; empty if there is none.
    play: what the upstream does with each request.
    only: "stream" or "complete", if the fault occurs only in those responses.
    begun: the caller has received an event before the fault.
    upstream: which upstream replaces the usual one.
    is_content: callers of the Bedrock dialect receive the response unchanged.
    """

    name: str
    kind: str
    play: Play
    only: str = ""
    begun: bool = False
    upstream: str = ""
    is_content: bool = False


def refusal(name: str, status: str, **headers: str) -> Play:
    async def play(call: UpstreamCall) -> None:
        body = json.dumps({"message": f"{name} of a test"})
        extra = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in headers.items())
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-amzn-errortype: {name}\r\n{extra}"
        await call.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    return play


def sending(data: bytes) -> Play:
    async def play(call: UpstreamCall) -> None:
        await call.send(data)
        call.writer.close()

    return play


def body_of(data: bytes, content_type: str = "", status: str = "200 OK") -> Play:
    async def play(call: UpstreamCall) -> None:
        kind = content_type or call.response.content_type
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
        await call.send(head.encode() + data)

    return play


async def hang_up(call: UpstreamCall) -> None:
    call.writer.close()


async def reset(call: UpstreamCall) -> None:
    call.reset()


async def send_nothing(call: UpstreamCall) -> None:
    await call.reader.read()


async def break_head(call: UpstreamCall) -> None:
    await call.send(call.response.head[:40])
    call.writer.close()


async def oversize_head(call: UpstreamCall) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\n" + b"x-long: %s\r\n" % bytes(400_000).replace(b"\0", b"v") + b"\r\n")
    await call.reader.read()


async def stall_in_body(call: UpstreamCall) -> None:
    await call.send(call.response.head + call.response.pieces[0][:10])
    await call.reader.read()


async def break_body(call: UpstreamCall) -> None:
    await call.send(call.response.head + call.response.pieces[0][:10])
    call.writer.close()


async def stale(call: UpstreamCall) -> None:
    """Respond to the first request of a connection; reset the connection on the second."""
    if call.number:
        call.reset()
    else:
        await call.send(call.response.wire)


async def stall(call: UpstreamCall) -> None:
    await call.begin()
    await call.reader.read()


async def cut_between(call: UpstreamCall) -> None:
    await call.begin()
    call.writer.close()


async def reset_between(call: UpstreamCall) -> None:
    await call.begin()
    call.reset()


async def cut_inside(call: UpstreamCall) -> None:
    await call.begin()
    await call.send(call.response.framed(call.response.pieces[1])[:20])
    call.writer.close()


async def end_early(call: UpstreamCall) -> None:
    await call.begin()
    await call.send(call.response.end)


async def end_inside(call: UpstreamCall) -> None:
    await call.begin()
    await call.send(call.response.framed(call.response.pieces[1][:-5]) + call.response.end)


async def bad_crc(call: UpstreamCall) -> None:
    await call.begin()
    piece = bytearray(call.response.pieces[1])
    piece[-1] ^= 1
    await call.send(call.response.framed(bytes(piece)) + call.response.end)


async def oversize_frame(call: UpstreamCall) -> None:
    await call.begin()
    await call.send(call.response.framed(struct.pack(">II", 0x7FFFFFFF, 10) + bytes(4096)) + call.response.end)


async def garbage_event(call: UpstreamCall) -> None:
    await call.begin()
    is_frames = "eventstream" in call.response.content_type
    kind = "chunk" if b"bytes" in call.response.pieces[0] else "contentBlockDelta"
    piece = event(kind, b"{garbage") if is_frames else b"event: response.output_text.delta\ndata: {garbage\n\n"
    await call.send(call.response.framed(piece) + call.response.end)


def exception(kind: str) -> Play:
    async def play(call: UpstreamCall) -> None:
        await call.begin()
        payload = json.dumps({"message": f"{kind} of a test"})
        if "eventstream" in call.response.content_type:
            piece = event(kind, payload, ":exception-type", "exception")
        else:
            words = {"throttlingException": "rate_limit_exceeded", "validationException": "invalid_request_error"}
            code = words.get(kind, "server_error")
            piece = (
                b"event: error\ndata: " + json.dumps({"type": "error", "code": code, "message": "of a test"}) + b"\n\n"
            )
        await call.send(call.response.framed(piece) + call.response.end)

    return play


HTML = b"<html><body>Bad gateway</body></html>"
FAULTS = [
    Fault("connection refused", "upstream_unreachable", hang_up, upstream="refused"),
    Fault("host name not found", "upstream_unreachable", hang_up, upstream="nameless"),
    Fault("plain text instead of TLS", "upstream_unreachable", hang_up, upstream="no TLS"),
    Fault("connection never accepted", "connect_timeout", hang_up, upstream="full"),
    Fault("reset before the request", "connection_lost", reset, upstream="early"),
    Fault("reset after the request", "connection_lost", reset),
    Fault("connection closed without a response", "connection_lost", hang_up),
    Fault("no response", "upstream_timeout", send_nothing),
    Fault("response that is not HTTP", "connection_lost", sending(b"SSH-2.0-OpenSSH_9.6\r\n")),
    Fault("response head cut off", "connection_lost", break_head),
    Fault("response head too large", "connection_lost", oversize_head),
    Fault("stale pooled connection", "", stale),
    Fault("`ThrottlingException`, repeated", "rate_limited", refusal("ThrottlingException", "429 Too Many Requests")),
    Fault(
        "`ThrottlingException` with a long `Retry-After`",
        "rate_limited",
        refusal("ThrottlingException", "429 Too Many Requests", retry_after="900"),
    ),
    Fault("`ServiceQuotaExceededException`", "quota_exceeded", refusal("ServiceQuotaExceededException", "400 Bad")),
    Fault("`ServiceUnavailableException`", "overloaded", refusal("ServiceUnavailableException", "503 Unavailable")),
    Fault("`ModelNotReadyException`", "overloaded", refusal("ModelNotReadyException", "429 Too Many Requests")),
    Fault("`InternalServerException`", "internal", refusal("InternalServerException", "500 Internal")),
    Fault("`ModelErrorException`", "upstream_failed", refusal("ModelErrorException", "424 Failed Dependency")),
    Fault("`ModelTimeoutException`", "upstream_timeout", refusal("ModelTimeoutException", "408 Timeout")),
    Fault("`ValidationException`", "invalid_request", refusal("ValidationException", "400 Bad Request")),
    Fault("`AccessDeniedException`", "permission", refusal("AccessDeniedException", "403 Forbidden")),
    Fault("`ResourceNotFoundException`", "model_not_found", refusal("ResourceNotFoundException", "404 Not Found")),
    Fault("`ExpiredTokenException`", "identity_refused", refusal("ExpiredTokenException", "403 Forbidden")),
    Fault("502 from a load balancer", "upstream_failed", body_of(HTML, "text/html", "502 Bad Gateway")),
    Fault("200 with malformed JSON", "upstream_failed", body_of(b'{"output":'), only="complete", is_content=True),
    Fault("200 with HTML", "upstream_failed", body_of(HTML, "text/html"), is_content=True),
    Fault("200 without a body", "upstream_failed", body_of(b""), is_content=True),
    Fault("body cut off", "connection_lost", break_body, only="complete"),
    Fault("body stalls", "upstream_timeout", stall_in_body, only="complete"),
    Fault("stream stalls", "upstream_timeout", stall, only="stream", begun=True),
    Fault("stream closed between events", "connection_lost", cut_between, only="stream", begun=True),
    Fault("stream reset between events", "connection_lost", reset_between, only="stream", begun=True),
    Fault("stream closed inside an event", "connection_lost", cut_inside, only="stream", begun=True),
    Fault("stream ends early", "upstream_failed", end_early, only="stream", begun=True, is_content=True),
    Fault("stream ends inside an event", "upstream_failed", end_inside, only="stream", begun=True),
    Fault("wrong checksum of a frame", "upstream_failed", bad_crc, only="stream", begun=True),
    Fault("frame too large", "upstream_failed", oversize_frame, only="stream", begun=True),
    Fault("malformed event", "upstream_failed", garbage_event, only="stream", begun=True, is_content=True),
    Fault("`throttlingException` in a stream", "rate_limited", exception("throttlingException"), "stream", True),
    Fault("`validationException` in a stream", "invalid_request", exception("validationException"), "stream", True),
    Fault("`internalServerException` in a stream", "internal", exception("internalServerException"), "stream", True),
    Fault(
        "`serviceUnavailableException` in a stream",
        "overloaded",
        exception("serviceUnavailableException"),
        "stream",
        True,
    ),
    Fault(
        "`modelStreamErrorException` in a stream",
        "upstream_failed",
        exception("modelStreamErrorException"),
        "stream",
        True,
    ),
    Fault(
        "`modelTimeoutException` in a stream", "upstream_timeout", exception("modelTimeoutException"), "stream", True
    ),
]


def handler(fault: Fault) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a connection handler with this fault."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fault.upstream == "early":
            await asyncio.sleep(0.02)
            UpstreamCall(reader, writer, Response("", []), 0).reset()
            return
        if fault.upstream == "no TLS":
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            return
        for number in range(1000):
            head, body = await read_request(reader)
            path = head.split(b" ")[1].decode().partition("?")[0]
            is_stream = path.endswith("/responses") and b'"stream":true' in body
            await fault.play(UpstreamCall(reader, writer, response_to(f"{path}-stream" if is_stream else path), number))
            if writer.is_closing():
                return

    return handle
