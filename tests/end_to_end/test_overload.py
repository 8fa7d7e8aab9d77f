"""Too many requests, slow callers, and timeouts that callers choose."""

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.server.protocol import guarded
from app.wire.eventstream import encode_frame
from tests.end_to_end.conftest import Records
from tests.servers import CHUNKED_STREAM, KEY, KEY_NAME, HoldingBedrock, chunk, gateway, read_request, upstream
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

HEADERS = {"authorization": f"Bearer {KEY}"}
CHAT: Any = {"model": "a.b", "messages": [{"role": "user", "content": "x"}]}
REQUESTS: list[tuple[str, Any]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/responses", {"model": "a.b", "input": "x"}),
    ("/v1/messages", {**CHAT, "max_tokens": 5}),
    ("/model/a.b/converse", {}),
    ("/v1/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "x"}),
    ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": "x", "documents": ["y"]}),
]


@pytest.fixture
def bedrock() -> Iterator[tuple[HoldingBedrock, str]]:
    server = HoldingBedrock()
    with upstream(server.handle) as url:
        try:
            yield server, url
        finally:
            server.may_answer.set()


def post(base: str, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(base + path, json=body, headers={**HEADERS, **headers}, timeout=20)


@pytest.mark.timed
def test_a_request_over_the_limit_is_refused_at_once_in_its_dialect(bedrock: tuple[HoldingBedrock, str]) -> None:
    server, url = bedrock
    with gateway(url, max_in_flight=1, max_waiting=0) as base, ThreadPoolExecutor() as pool:
        first = pool.submit(post, base, "/v1/chat/completions", CHAT)
        server.received.acquire()
        for path, body in REQUESTS:
            started = time.monotonic()
            answer = post(base, path, body)
            assert time.monotonic() - started < 0.5, path
            assert answer.status_code == (529 if path == "/v1/messages" else 429), path
            assert float(answer.headers["retry-after"]) >= 1
            assert "x-should-retry" not in answer.headers
            assert "busy" in answer.text, path
        for path in ("/health", "/health/ready"):
            started = time.monotonic()
            assert httpx.get(base + path).status_code == 200
            assert time.monotonic() - started < 0.5
        assert post(base, "/v1/chat/completions", CHAT, authorization="Bearer wrong").status_code == 401
        server.may_answer.set()
        assert first.result().status_code == 200
        assert post(base, "/v1/chat/completions", CHAT).status_code == 200


def test_the_queue_absorbs_a_burst(bedrock: tuple[HoldingBedrock, str]) -> None:
    server, url = bedrock
    with gateway(url, max_in_flight=1, max_waiting=2, max_wait=20) as base, ThreadPoolExecutor() as pool:
        calls = [pool.submit(post, base, "/v1/chat/completions", CHAT) for _ in range(3)]
        server.received.acquire()
        wait_until(lambda: "\noutcrop_waiting 2.0\n" in httpx.get(f"{base}/metrics").text)
        assert post(base, "/v1/chat/completions", CHAT).status_code == 429
        server.may_answer.set()
        assert [call.result().status_code for call in calls] == [200, 200, 200]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_a_caller_may_shorten_the_timeout(bedrock: tuple[HoldingBedrock, str], path: str, body: Any) -> None:
    with gateway(bedrock[1]) as base:
        started = time.monotonic()
        answer = post(base, path, body, **{"x-outcrop-timeout": "0.3"})
        assert answer.status_code == (408 if path.startswith("/model/") else 504)
        assert 0.25 < time.monotonic() - started < 15


def test_a_caller_cannot_extend_the_timeout(bedrock: tuple[HoldingBedrock, str]) -> None:
    with gateway(bedrock[1], bedrock_total_timeout=0.3) as base:
        assert post(base, "/v1/chat/completions", CHAT, **{"x-outcrop-timeout": "30"}).status_code == 504


@pytest.mark.parametrize("wanted", ["soon", "0", "-1", "inf", "nan", "1e999"])
def test_an_invalid_timeout_is_refused(bedrock: tuple[HoldingBedrock, str], wanted: str) -> None:
    with gateway(bedrock[1]) as base:
        answer = post(base, "/v1/chat/completions", CHAT, **{"x-outcrop-timeout": wanted})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-outcrop-timeout")


@pytest.mark.parametrize("limit", ["total", "first_byte"])
def test_a_model_has_its_own_timeouts(bedrock: tuple[HoldingBedrock, str], limit: str) -> None:
    config = f'[limits."a.b"]\n{limit} = 0.3\n'
    with gateway(bedrock[1], config_toml=config, bedrock_max_attempts=1) as base, ThreadPoolExecutor() as pool:
        other = pool.submit(post, base, "/v1/chat/completions", {**CHAT, "model": "c.d"})
        started = time.monotonic()
        assert post(base, "/v1/chat/completions", CHAT).status_code == 504
        assert 0.25 < time.monotonic() - started < 15
        assert not other.done()
        bedrock[0].may_answer.set()
        assert other.result().status_code == 200


@pytest.mark.parametrize("drips", [False, True])
def test_a_body_that_does_not_arrive_is_refused_after_the_timeout(
    bedrock: tuple[HoldingBedrock, str], drips: bool
) -> None:
    with gateway(bedrock[1], caller_timeout=0.4) as base:
        with socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as caller:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            started = time.monotonic()
            caller.sendall(f"{head}content-length: 1000\r\n\r\n".encode())
            caller.settimeout(0.1 if drips else 20)
            answer = b""
            while not answer and time.monotonic() - started < 20:
                if drips:
                    caller.sendall(b" ")
                try:
                    answer = caller.recv(4096)
                except TimeoutError:
                    continue
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"request_timeout" in answer
            assert time.monotonic() - started > 0.3


def test_a_large_body_may_take_longer_than_the_timeout(bedrock: tuple[HoldingBedrock, str]) -> None:
    bedrock[0].may_answer.set()
    body = b'{"model":"a.b","messages":[{"role":"user","content":"' + b"x" * 300_000 + b'"}]}'
    with gateway(bedrock[1], caller_timeout=1.0) as base:
        with socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as caller:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            for start in range(0, len(body), 20_000):
                caller.sendall(body[start : start + 20_000])
                time.sleep(0.1)
            assert caller.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_fast_start_does_not_extend_the_timeout_of_silence(bedrock: tuple[HoldingBedrock, str]) -> None:
    with gateway(bedrock[1], caller_timeout=0.4) as base:
        with socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as caller:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            caller.sendall(f"{head}content-length: 1000000\r\n\r\n".encode() + b" " * 900_000)
            caller.settimeout(7)  # of which the start would give it nine
            assert caller.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_unverified_requests_do_not_take_the_permits_of_others(bedrock: tuple[HoldingBedrock, str]) -> None:
    """Requests that only claim a key's name hold permits, but not those of verified callers."""
    bedrock[0].may_answer.set()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{KEY_NAME}/{now[:8]}/us-east-1/bedrock/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    head = f"POST /model/a.b/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {now}\r\nauthorization: {signed}\r\n"
    with gateway(bedrock[1], max_in_flight=10, max_waiting=0) as base, contextlib.ExitStack() as stack:
        port = urlsplit(base).port or 0
        for _ in range(20):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            caller.sendall(f"{head}content-length: 100\r\n\r\n".encode())
        time.sleep(0.2)
        assert post(base, "/v1/chat/completions", CHAT).status_code == 200
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 150_000}]}
    limits: dict[str, Any] = {"max_body_bytes": 200_000, "max_bodies_bytes": 800_000}
    with gateway(bedrock[1], **limits) as base, contextlib.ExitStack() as stack:
        port = urlsplit(base).port or 0
        for _ in range(10):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            caller.sendall(f"{head}content-length: 190000\r\n\r\n".encode() + b" " * 180_000)
        time.sleep(0.2)
        assert post(base, "/v1/chat/completions", large).status_code == 200


TWO_NAMES: dict[str, Any] = {
    "api_keys": f"{KEY_NAME}={KEY},other=other-key-of-24-letters",
    "max_body_bytes": 200_000,
    "max_bodies_bytes": 800_000,
}


def post_signed(base: str, path: str, body: Any) -> httpx.Response:
    request = AWSRequest("POST", base + path, data=json.dumps(body), headers={"content-type": "application/json"})
    SigV4Auth(Credentials(KEY_NAME, KEY), "bedrock", "us-east-1").add_auth(request)
    return httpx.post(base + path, content=request.data, headers=dict(request.headers), timeout=20)


@pytest.mark.parametrize("is_proven", [False, True])
def test_bodies_that_claim_one_name_exhaust_only_the_limit_of_that_name(
    bedrock: tuple[HoldingBedrock, str], is_proven: bool
) -> None:
    bedrock[0].may_answer.set()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"other/{now[:8]}/us-east-1/bedrock/aws4_request"
    forged = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    proof = "Bearer other-key-of-24-letters" if is_proven else forged
    head = f"POST /model/a.b/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {now}\r\nauthorization: {proof}\r\n"
    large = {"messages": [{"role": "user", "content": [{"text": "x" * 150_000}]}]}
    with gateway(bedrock[1], **TWO_NAMES) as base, contextlib.ExitStack() as stack:
        port = urlsplit(base).port or 0
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(10)]
        for caller in callers:
            caller.sendall(f"{head}content-length: 190000\r\n\r\n".encode() + b" " * 180_000)

        def status_of_other() -> int:
            return post(base, "/model/a.b/converse", large, authorization="Bearer other-key-of-24-letters").status_code

        if is_proven:
            wait_until(lambda: status_of_other() == 429)
        else:
            time.sleep(0.2)
        assert post_signed(base, "/model/a.b/converse", large).status_code == 200
        assert post(base, "/model/a.b/converse", large).status_code == 200
        assert status_of_other() == (429 if is_proven else 200)


def test_one_key_cannot_hold_all_permits(bedrock: tuple[HoldingBedrock, str]) -> None:
    """Finding M2: one key with slow requests had the requests of all others refused."""
    server, url = bedrock
    other = {"authorization": "Bearer other-key-of-24-letters"}
    with gateway(url, **TWO_NAMES, max_in_flight=20, max_waiting=0) as base, ThreadPoolExecutor(50) as pool:
        slow = [pool.submit(post, base, "/v1/chat/completions", CHAT, **other) for _ in range(40)]
        for _ in range(15):
            assert server.received.acquire(timeout=30)
        refused = itertools.islice(as_completed(slow, timeout=30), 25)
        assert [each.result().status_code for each in refused] == [429] * 25
        served = [pool.submit(post, base, "/v1/chat/completions", CHAT) for _ in range(5)]
        for _ in served:
            assert server.received.acquire(timeout=30)
        server.may_answer.set()
        assert [each.result().status_code for each in served] == [200] * 5
        assert sorted(each.result().status_code for each in slow) == [200] * 15 + [429] * 25


def test_requests_that_claim_one_name_exhaust_only_the_permits_of_that_name(
    bedrock: tuple[HoldingBedrock, str],
) -> None:
    bedrock[0].may_answer.set()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"other/{now[:8]}/us-east-1/bedrock/aws4_request"
    forged = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    head = f"POST /model/a.b/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {now}\r\nauthorization: {forged}\r\n"
    with gateway(bedrock[1], **TWO_NAMES, max_in_flight=40, max_waiting=0) as base, contextlib.ExitStack() as stack:
        for _ in range(9):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)))
            caller.sendall(f"{head}content-length: 100\r\n\r\n".encode())
        time.sleep(0.2)
        assert post_signed(base, "/model/a.b/converse", {}).status_code == 200


@pytest.mark.timed
def test_unverified_bodies_must_arrive_faster(bedrock: tuple[HoldingBedrock, str]) -> None:
    """50 KB a second is fast enough for a verified caller."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{KEY_NAME}/{now[:8]}/us-east-1/bedrock/aws4_request"
    forged = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    for proof, seconds in ((forged, (0.4, 1.3)), (f"Bearer {KEY}", (1.4, 9.0))):
        head = f"POST /model/a.b/converse HTTP/1.1\r\nhost: x\r\nx-amz-date: {now}\r\nauthorization: {proof}\r\n"
        with gateway(bedrock[1], caller_timeout=0.4) as base:
            with socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as caller:
                caller.sendall(f"{head}content-length: 1000000\r\n\r\n".encode())
                started = time.monotonic()
                caller.settimeout(0.1)
                while time.monotonic() - started < 1.5:
                    caller.sendall(b" " * 5_000)
                    with contextlib.suppress(TimeoutError):
                        assert caller.recv(4096).startswith(b"HTTP/1.1 408 ")
                        break
                assert seconds[0] < time.monotonic() - started < seconds[1], proof


def test_the_bytes_of_all_bodies_are_limited(bedrock: tuple[HoldingBedrock, str]) -> None:
    server, url = bedrock
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 40_000}]}
    with gateway(url, max_body_bytes=100_000, max_bodies_bytes=100_000) as base, ThreadPoolExecutor() as pool:
        held = [pool.submit(post, base, "/v1/chat/completions", large) for _ in range(2)]
        for _ in held:
            server.received.acquire()
        assert post(base, "/v1/chat/completions", large).status_code == 429
        assert post(base, "/v1/messages", {**large, "max_tokens": 5}).status_code == 529
        server.may_answer.set()
        assert [each.result().status_code for each in held] == [200, 200]
        assert post(base, "/v1/chat/completions", large).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/model/a.b/converse-stream"])
def test_a_caller_that_stops_reading_is_disconnected(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.dialects.http.endpoint._ERROR_SECONDS", 0.3)
    records = Records()
    frame = chunk(
        encode_frame(
            {":event-type": "contentBlockDelta", ":message-type": "event"},
            b'{"contentBlockIndex":0,"delta":{"text":"%s"}}' % (b"x" * 60_000),
        )
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM)
        for _ in range(2000):
            writer.write(frame)
            await writer.drain()

    body = b'{"model":"a.b","messages":[{"role":"user","content":"x"}],"stream":true}'
    with (
        upstream(handle) as url,
        gateway(url, records, http=guarded(30)) as base,
        socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as caller,
    ):
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nx-outcrop-timeout: 1\r\n"
        caller.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        caller.recv(1000)
        wait_until(lambda: any(record.dialect for record in records.all))
        assert [record.error for record in records.all if record.dialect] == ["caller_deadline"]
