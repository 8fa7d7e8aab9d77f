"""Responses whose callers do not read them (finding H2): their bytes are bounded, and they hold their permits."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from app.wire.eventstream import encode_frame
from tests.end_to_end.test_memory import HEADERS, Peak
from tests.programs import aws, running
from tests.servers import CHUNKED_STREAM, chunk, free_port, http_reply, read_request, upstream
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs of Linux"),
]

LARGE = 20_000_000
SMALL = {"model": "a.b", "messages": [{"role": "user", "content": "small"}]}
VECTOR = f"[{','.join(f'0.{7919 * index:016d}' for index in range(1536))}]"


def converse(text: bytes) -> bytes:
    return (
        b'{"output":{"message":{"role":"assistant","content":[{"text":"%b"}]}},"stopReason":"end_turn",'
        b'"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}' % text
    )


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head, body = await read_request(reader)
        target = head.split(b" ")[1]
        if b"embed" in target:
            vectors = ",".join([VECTOR] * len(json.loads(body)["texts"]))
            reply = f'{{"embeddings":{{"float":[{vectors}]}},"response_type":"embeddings_by_type"}}'.encode()
        elif target.endswith(b"/invoke"):
            reply = b'{"x":"%b"}' % (b"x" * LARGE)
        else:
            reply = converse(b"x" * (LARGE if b"large" in body else 5))
        if target.endswith(b"-stream"):
            await flood(writer)
        writer.write(http_reply(reply))
        await writer.drain()


async def flood(writer: asyncio.StreamWriter) -> None:
    """Send a stream without an end."""
    headers = {":message-type": "event", ":event-type": "contentBlockDelta", ":content-type": "application/json"}
    event = encode_frame(headers, b'{"contentBlockIndex":0,"delta":{"text":"%b"}}' % (b"word " * 200))
    writer.write(CHUNKED_STREAM)
    while True:
        writer.write(chunk(event))
        await writer.drain()


@contextmanager
def gateway(**settings: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with upstream(answer) as upstream_url:
        with running("app", url=url, PORT=str(port), **{**aws(upstream_url), **settings}) as process:
            assert served(url) == 200
            yield url, process.pid


def served(url: str, key: str = "secret-of-a-developer") -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/chat/completions", json=SMALL, headers=headers, timeout=60).status_code


def in_flight(url: str) -> float:
    found = re.search(r"^outcrop_in_flight (\S+)", httpx.get(f"{url}/metrics", timeout=60).text, re.MULTILINE)
    assert found is not None
    return float(found[1]) - 1  # without this request


def send(url: str, path: str, body: bytes) -> socket.socket:
    """Send a request whose response is not read."""
    caller = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    caller.sendall(request(path, body))
    return caller


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {HEADERS['authorization']}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def received(caller: socket.socket) -> bytes:
    """Return a whole response: its head and its body."""
    caller.settimeout(60)
    head, _, body = caller.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: ([0-9]+)", head)
    assert length is not None, head
    while len(body) < int(length[1]):
        body += caller.recv(2**20)
    return head + body


@pytest.mark.parametrize(
    ("path", "body", "count", "held"),
    [
        ("/model/a.b/invoke", b"{}", 40, 40),
        ("/v1/chat/completions", b'{"model":"a.b","messages":[{"role":"user","content":"large"}]}', 40, 6),
        ("/v1/embeddings", json.dumps({"model": "cohere.embed-v4:0", "input": ["a"] * 2048}).encode(), 16, 1),
    ],
)
def test_unread_responses_add_less_than_300_mb(path: str, body: bytes, count: int, held: int) -> None:
    """H2: 16 unread embeddings took 1,163 MB and 60 native responses 1,258 MB, and none was in flight."""
    with gateway() as (url, pid), ExitStack() as callers:
        peak = Peak(pid)
        unread = [callers.enter_context(send(url, path, body)) for _ in range(count)]
        for _ in range(10):
            assert served(url) == 200
            time.sleep(1)
        assert peak.added() < 300_000_000
        assert in_flight(url) >= held
        answers = [received(caller) for caller in unread]
        complete = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200")]
        assert len(complete) >= held
        assert all(len(answer) > LARGE for answer in complete)
        assert all(answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 429")) for answer in answers)
        wait_until(lambda: in_flight(url) == 0)


def test_one_key_leaves_half_of_the_unsent_bytes_to_others() -> None:
    large = b'{"model":"a.b","messages":[{"role":"user","content":"large"}]}'
    keys = "dev=secret-of-a-developer,other=secret-of-another-one"
    with gateway(API_KEYS=keys, MAX_UNSENT_BYTES="90000000") as (url, _), ExitStack() as callers:
        unread = [callers.enter_context(send(url, "/v1/chat/completions", large)) for _ in range(6)]
        time.sleep(5)
        wait_until(lambda: in_flight(url) == 2)
        other = httpx.post(
            f"{url}/v1/chat/completions",
            content=large,
            headers={"authorization": "Bearer secret-of-another-one"},
            timeout=20,
        )
        assert len(other.content) > LARGE
        statuses = sorted(received(caller)[9:12] for caller in unread)
        assert statuses == [b"200", b"200", b"429", b"429", b"429", b"429"]


def test_unread_streams_of_one_key_are_bounded_together() -> None:
    """None of them is large, but each permit would hold one."""
    keys = "dev=secret-of-a-developer,other=secret-of-another-one"
    body = b'{"model":"a.b","messages":[{"role":"user","content":"flood"}],"stream":true}'
    with gateway(API_KEYS=keys, MAX_UNSENT_BYTES="2000000") as (url, _), ExitStack() as callers:
        for _ in range(30):
            caller = callers.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            caller.sendall(request("/v1/chat/completions", body))
        for _ in range(3):
            assert served(url, "secret-of-another-one") == 200
            time.sleep(4)
        assert 1 <= in_flight(url) <= 1_000_000 / 65_536


def test_a_caller_that_reads_nothing_is_disconnected() -> None:
    with gateway(UNREAD_TIMEOUT="2") as (url, _), send(url, "/model/a.b/invoke", b"{}") as caller:
        wait_until(lambda: in_flight(url) == 1)
        wait_until(lambda: in_flight(url) == 0)
        caller.settimeout(20)
        size = 0
        try:
            while data := caller.recv(2**20):
                size += len(data)
        except ConnectionError:
            pass
        assert size < LARGE
