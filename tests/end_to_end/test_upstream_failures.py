"""Slow, silent, refusing and disconnecting upstreams, disconnecting callers, and the resulting readiness."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.wire.eventstream import encode_frame
from tests.bedrock.test_stream_decoding import STREAM
from tests.end_to_end.conftest import Records
from tests.servers import (
    CHUNKED_STREAM,
    KEY,
    NOWHERE,
    chunk,
    gateway,
    http_reply,
    read_request,
    upstream,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

HEADERS = {"authorization": f"Bearer {KEY}"}
CHAT: Any = {"model": "a.b", "messages": [{"role": "user", "content": "x"}]}
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
MESSAGES: Any = {"model": "a.b", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
REQUESTS: list[tuple[str, Any]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "stream": True}),
    ("/model/a.b/converse", {}),
    ("/model/a.b/converse-stream", {}),
    ("/model/a.b/invoke", {}),
    ("/v1/messages", MESSAGES),
    ("/v1/messages", {**MESSAGES, "stream": True}),
    ("/v1/messages", {**MESSAGES, "model": CLAUDE}),
    ("/v1/messages", {**MESSAGES, "model": CLAUDE, "stream": True}),
]
REPLY = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"late"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}'
)
START = encode_frame({":event-type": "messageStart", ":message-type": "event"}, b'{"role":"assistant"}')


def post(base: str, path: str, body: Any, timeout: float | httpx.Timeout = 20) -> httpx.Response:
    return httpx.post(base + path, json=body, headers=HEADERS, timeout=timeout)


def connect(base: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(base).port or 0))


def message_of(answer: httpx.Response) -> str:
    document = answer.json()
    return str(document["error"]["message"] if "error" in document else document["message"])


async def read_then_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_missing_response_returns_a_timeout_after_the_read_timeout(path: str, body: Any) -> None:
    with upstream(read_then_wait) as url, gateway(url, bedrock_read_timeout=0.4) as base:
        started = time.monotonic()
        answer = post(base, path, body)
        assert answer.status_code == (408 if path.startswith("/model/") else 504)
        assert 0.4 <= time.monotonic() - started < 15
        assert message_of(answer) == "Bedrock sent nothing for too long"


@pytest.mark.parametrize(("path", "body"), [REQUESTS[0], REQUESTS[2]])
def test_slow_first_byte_within_the_read_timeout_succeeds(path: str, body: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.9)
        writer.write(http_reply(REPLY))
        await writer.drain()

    with upstream(handle) as url, gateway(url, bedrock_read_timeout=10) as base:
        answer = post(base, path, body)
        assert (answer.status_code, "late" in answer.text) == (200, True)


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_refused_connections_return_502_after_the_maximum_of_attempts(path: str, body: Any) -> None:
    records = Records()
    with gateway(NOWHERE, records, bedrock_max_attempts=4) as base:
        started = time.monotonic()
        answer = post(base, path, body)
        assert answer.status_code == 502
        assert time.monotonic() - started < 15
        assert message_of(answer) == "Bedrock could not be reached"
        record = records.by_id(answer.headers["x-request-id"])
        assert (record.attempts, record.error, record.status) == (4, "upstream_unreachable", 502)


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_closed_connections_are_retried_and_then_return_502(path: str, body: Any) -> None:
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1

    with upstream(handle) as url, gateway(url) as base:
        answer = post(base, path, body)
        assert (answer.status_code, message_of(answer), count) == (502, "the connection to Bedrock broke", 3)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b"[]",
        b'{"output":{},"stopReason":"x","usage":null}',
        REPLY.replace(b'{"text":"late"}', b'{"toolUse":{}}'),
        REPLY.replace(b'"late"', b"null"),
        REPLY.replace(b'{"text":"late"}', b'{"image":{}}'),
    ],
)
def test_malformed_reply_returns_502(body: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(body))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        answer = post(base, *REQUESTS[0])
        assert (answer.status_code, message_of(answer)) == (502, "Bedrock's reply made no sense")


@pytest.mark.parametrize("is_streamed", [False, True])
def test_response_cut_off_before_any_content_is_retried(is_streamed: bool) -> None:
    count = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        response = CHUNKED_STREAM + chunk(STREAM) + b"0\r\n\r\n" if is_streamed else http_reply(REPLY)
        writer.write(response if count > 2 else response[: len(response) - len(STREAM if is_streamed else REPLY)])
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        answer = post(base, "/v1/chat/completions", {**CHAT, "stream": is_streamed})
        assert answer.status_code == 200
        assert ("Gr" if is_streamed else "late") in answer.text
        assert count == 3


BAD_EVENTS = [b"null", b"[]", b"{", b'{"start":{},"contentBlockIndex":"x"}', b'{"start":5,"contentBlockIndex":0}']


@pytest.mark.parametrize("payload", BAD_EVENTS)
@pytest.mark.parametrize("is_first", [True, False])
def test_malformed_event_ends_the_stream_with_an_error(payload: bytes, is_first: bool) -> None:
    bad = encode_frame({":event-type": "contentBlockStart", ":message-type": "event"}, payload)
    has_begun = threading.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM)
        if not is_first:
            writer.write(chunk(START))
            await writer.drain()
            await asyncio.to_thread(has_begun.wait, 20)
        writer.write(chunk(bad))
        await writer.drain()

    path, body = REQUESTS[1]
    with upstream(handle) as url, gateway(url) as base:
        with httpx.stream("POST", base + path, json=body, headers=HEADERS, timeout=30) as answer:
            has_begun.set()
            answer.read()
        assert answer.status_code == (502 if is_first else 200)
        assert "Bedrock's stream is malformed" in answer.text
        assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    ("path", "ending"),
    [("/v1/chat/completions", b'"code":"timeout"'), ("/model/a.b/converse-stream", b"modelStreamErrorException")],
)
@pytest.mark.parametrize("limit", [{"bedrock_read_timeout": 2.0}, {"bedrock_total_timeout": 2.0}])
def test_stalled_stream_ends_with_a_timeout_error(path: str, ending: bytes, limit: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM + chunk(START))
        await writer.drain()
        await reader.read()

    with upstream(handle) as url, gateway(url, **limit) as base:
        answer = post(base, path, {**CHAT, "stream": True})
        assert answer.status_code == 200
        assert ending in answer.content


def test_total_timeout_applies_while_the_body_is_read() -> None:
    with gateway("http://127.0.0.1:9", bedrock_total_timeout=0.3) as base, connect(base) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n"
            + f"authorization: Bearer {KEY}\r\n\r\n".encode()
            + b"{"
        )
        client.settimeout(20)
        assert client.recv(1000).startswith(b"HTTP/1.1 504")


@pytest.mark.parametrize("headers", [{}, {"x-outcrop-timeout": "0.3"}])
def test_total_timeout_tells_clients_not_to_retry(headers: dict[str, str]) -> None:
    bedrock = SilentBedrock()
    with upstream(bedrock.handle) as url, gateway(url, bedrock_total_timeout=0.3 if not headers else 60) as base:
        answer = httpx.post(
            f"{base}/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {KEY}", **headers}
        )
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")


class SilentBedrock:
    """Sends only `greeting`, and records when the gateway closes the connection."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.received = threading.Event()
        self._greeting = greeting
        self._closed: list[float] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(self._greeting)
        await writer.drain()
        self.received.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self._closed.append(time.monotonic())

    def seconds_until_closed(self, disconnect: Callable[[], object]) -> float:
        """Call `disconnect`; return the seconds until the gateway closed the upstream connection."""
        started = time.monotonic()
        disconnect()
        while not self._closed and time.monotonic() < started + 2:
            time.sleep(0.005)
        assert self._closed
        return self._closed[0] - started


@pytest.mark.timed
@pytest.mark.parametrize(("path", "body"), REQUESTS)
@pytest.mark.parametrize("has_begun", [False, True])
def test_disconnect_closes_the_upstream_connection_within_100_ms(path: str, body: Any, has_begun: bool) -> None:
    bedrock = SilentBedrock(CHUNKED_STREAM + chunk(START) if has_begun else b"")
    with upstream(bedrock.handle) as url, gateway(url) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        connection.request("POST", path, __import__("json").dumps(body), HEADERS)
        assert bedrock.received.wait(30)
        if has_begun and "stream" in f"{path}{body}":
            response = connection.getresponse()
            response.read1(10)
            response.close()
        time.sleep(0.05)
        assert bedrock.seconds_until_closed(connection.close) < 0.1


@pytest.mark.timed
@pytest.mark.parametrize("size", [100, 300_000, 1_000_000, 5_000_000])
def test_disconnect_after_a_large_body_closes_the_upstream_connection_within_100_ms(size: int) -> None:
    bedrock = SilentBedrock()
    with upstream(bedrock.handle) as url, gateway(url) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        body = {**CHAT, "messages": [{"role": "user", "content": "x" * size}]}
        connection.request("POST", "/v1/chat/completions", __import__("json").dumps(body), HEADERS)
        assert bedrock.received.wait(30)
        time.sleep(0.1)
        assert bedrock.seconds_until_closed(connection.close) < 0.1


def test_disconnects_are_logged_and_leave_no_upstream_connection() -> None:
    records = Records()
    opened: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        opened.append(1)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        opened.pop()

    with upstream(handle) as url, gateway(url, records) as base:
        for _ in range(20):
            with contextlib.suppress(httpx.ReadTimeout):
                post(base, *REQUESTS[1], timeout=httpx.Timeout(20, read=0.05))
        wait_until(lambda: not opened and len(records.all) >= 21)
        gone = [record for record in records.all if record.error == "caller_gone"]
        assert len(gone) == 20
        assert {record.status for record in gone} == {499}
        assert opened == []


def test_slow_reader_applies_backpressure_to_the_upstream() -> None:
    sent = 0
    frame = chunk(encode_frame({":event-type": "x", ":message-type": "event"}, bytes(60_000)))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(CHUNKED_STREAM)
        for _ in range(2000):
            writer.write(frame)
            await writer.drain()
            sent += len(frame)

    with upstream(handle) as url, gateway(url) as base, connect(base) as client:
        client.sendall(
            f"POST /model/a.b/converse-stream HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nauthorization: Bearer {KEY}\r\n\r\n{{}}".encode()
        )
        client.recv(1000)
        first = -1
        while first < sent:  # until all buffers are full
            first = sent
            time.sleep(0.5)
        assert sent < 60_000_000


def test_readiness_follows_the_last_upstream_result() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(REPLY))
        await writer.drain()

    with gateway(NOWHERE) as base:
        wait_until(lambda: "not contacted yet" not in httpx.get(f"{base}/health/ready").text)
        down = httpx.get(f"{base}/health/ready")
        assert down.status_code == 503
        # findings, Low: reasons named the addresses of private endpoints and proxies
        assert down.json()["reasons"] == ["bedrock: cannot connect (ConnectionRefusedError)"]
        assert httpx.get(f"{base}/health").json()["status"] == "ok"
    with upstream(handle) as url, gateway(url, bedrock_read_timeout=20) as base:
        wait_until_ready(base)
        assert post(base, *REQUESTS[0]).status_code == 200
        assert httpx.get(f"{base}/health/ready").json() == {"status": "ready", "reasons": [], "breakers": {}}
    with upstream(read_then_wait) as url, gateway(url, bedrock_read_timeout=0.2) as base:
        wait_until_ready(base)
        assert post(base, *REQUESTS[0]).status_code == 504
        assert httpx.get(f"{base}/health/ready").status_code == 200


def test_readiness_does_not_depend_on_the_control_plane() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(REPLY))
        await writer.drain()

    with upstream(handle) as url, gateway(url, aws_endpoint_url_bedrock=NOWHERE) as base:
        wait_until_ready(base)
        listed = httpx.get(f"{base}/v1/models", headers=HEADERS)
        assert [model["id"] for model in listed.json()["data"]] == ["scripted.echo-v1:0"]
        assert httpx.get(f"{base}/health/ready").status_code == 200
        assert httpx.head(f"{base}/health").status_code == 200


def wait_until_ready(base: str) -> None:
    wait_until(lambda: httpx.get(f"{base}/health/ready").status_code == 200)


def test_missing_credentials_return_503_and_are_reported_by_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import create_app
    from tests.servers import gateway_settings, serving

    with serving(create_app(gateway_settings("http://127.0.0.1:9"))) as base:
        answer = post(base, *REQUESTS[0])
        assert (answer.status_code, message_of(answer)) == (503, "the gateway has no AWS credentials")
        ready = httpx.get(f"{base}/health/ready")
        assert ready.status_code == 503
        assert (
            "credentials: no AWS credentials found in the environment, profile or metadata" in ready.json()["reasons"]
        )


def test_rotated_credentials_lose_no_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Bedrock refuses the old key when the file already holds the new one."""
    file = tmp_path / "credentials"

    def write(name: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = secret\n")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            if b"Credential=OLDKEY/" in head and file.read_text().find("NEWKEY") > 0:
                writer.write(
                    http_reply(
                        b'{"message":"expired"}', "403 Forbidden", extra="x-amzn-errortype: ExpiredTokenException\r\n"
                    )
                )
            else:
                writer.write(http_reply(REPLY))
            await writer.drain()

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    write("OLDKEY")
    from app.main import create_app
    from tests.servers import gateway_settings, serving

    with upstream(handle) as url, serving(create_app(gateway_settings(url))) as base:
        assert post(base, *REQUESTS[0]).status_code == 200
        write("NEWKEY")
        assert [post(base, *REQUESTS[0]).status_code for _ in range(10)] == [200] * 10


@pytest.mark.parametrize(
    "path",
    [
        "/foundation-models/../logging",
        "/foundation-models/%2e%2e/logging",
        "/model/..%2f..%2fx/converse",
        "/model//converse",
        "/model/x%2Fconverse",
        "/foundation-models/",
    ],
)
def test_paths_that_leave_their_prefix_are_refused(path: str) -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        seen.append(head)

    with upstream(handle) as url, gateway(url) as base:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET" if path.startswith("/f") else "POST", path, b"", HEADERS)
            with connection.getresponse() as response:
                assert response.status in (400, 404)
    assert seen == []


@pytest.mark.parametrize("model", ["..", "a/../b", ".", "a//b"])
def test_model_names_with_path_traversal_are_refused(gateway_url: str, model: str) -> None:
    assert post(gateway_url, "/v1/chat/completions", {**CHAT, "model": model}).status_code == 400
