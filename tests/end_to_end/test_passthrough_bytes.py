"""Passthrough mode changes no byte in either direction, and does not buffer streams."""

import asyncio
import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.wire.eventstream import FrameDecoder, encode_frame
from tests.servers import CHUNKED_STREAM, KEY, chunk, gateway, http_reply, read_request, upstream

PATHS = [
    "/model/amazon.nova-lite-v1%3A0/converse",
    "/model/amazon.nova-lite-v1:0/invoke",
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse",
    "/model/%20odd%C3%BC~name/count-tokens",
]


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@contextmanager
def open_response(
    url: str, path: str, body: Any = b"{}", method: str = "POST", headers: dict[str, str] | None = None, **options: Any
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    with closing(connection):
        connection.request(method, path, body, {"Authorization": f"Bearer {KEY}", **(headers or {})}, **options)
        with connection.getresponse() as response:
            yield response


def call(*arguments: Any, **options: Any) -> Answer:
    with open_response(*arguments, **options) as response:
        return Answer(response.status, response.headers, response.read())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body", [b"", b'{ "a" : 1.0,\n "a": "\\u00fc" }', bytes(range(256)) * 5000], ids=["empty", "json", "binary"]
)
def test_request_and_response_pass_unchanged(path: str, body: bytes) -> None:
    seen: list[tuple[bytes, bytes]] = []
    answer = bytes(random.Random(1).randbytes(3000))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if request[0].startswith(b"POST "):  # not the lookup of the model of an ARN
            seen.append(request)
        writer.write(
            http_reply(
                answer, "201 Created", "application/x-odd; q=1", "x-amzn-requestid: r-1\r\nx-amzn-bedrock-y: z\r\n"
            )
        )
        await writer.drain()

    headers = {
        "Content-Type": "application/x-mine",
        "X-Amzn-Bedrock-Trace": "ENABLED",
        "X-Other": "no",
        "x-api-key": KEY,
        "Cookie": "c",
    }
    with upstream(handle) as url, gateway(url) as base:
        response = call(base, f"{path}?x=%2F&y", body, headers=headers)
    head, sent = seen[0]
    assert head.split(b"\r\n")[0] == f"POST {path}?x=%2F&y HTTP/1.1".encode()
    assert sent == body
    named = dict(line.lower().split(": ", 1) for line in head.decode().strip().split("\r\n")[1:])
    assert named["content-type"] == "application/x-mine"
    assert named["x-amzn-bedrock-trace"] == "enabled"
    assert named["authorization"].startswith("aws4-hmac-sha256 ")
    assert KEY not in head.decode()
    assert not {"x-other", "x-api-key", "cookie", "user-agent"} & set(named)
    assert response.body == answer
    assert response.status == 201
    assert (response.headers["content-type"], response.headers["x-amzn-bedrock-y"]) == ("application/x-odd; q=1", "z")
    assert (response.headers["x-amzn-requestid"], len(response.headers.get_all("date", []))) == ("r-1", 1)


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "424 Failed", "400 Weird"])
def test_error_passes_unchanged(status: str) -> None:
    body = b'{"Message" : "as is","x":1}'

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(body, status, extra="x-amzn-ErrorType: OddException:http://x/\r\n"))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        response = call(base, PATHS[0])
        assert (response.status, response.body) == (int(status[:3]), body)
        assert response.headers["x-amzn-errortype"] == "OddException:http://x/"


def frames(count: int) -> list[bytes]:
    made = random.Random(7)
    return [
        encode_frame({":event-type": f"odd{number}", ":message-type": "event"}, made.randbytes(made.randint(0, 400)))
        for number in range(count)
    ]


def test_stream_passes_unchanged_however_it_is_split() -> None:
    data = b"".join(frames(40))
    pieces, made = [], random.Random(3)
    rest = data
    while rest:
        size = made.choice([1, 2, 7, 100, 900])
        pieces.append(rest[:size])
        rest = rest[size:]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM)
        for piece in pieces:
            writer.write(chunk(piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        response = call(base, "/model/a.b/converse-stream")
        assert response.headers["content-type"] == "application/vnd.amazon.eventstream"
        assert response.body == data


@pytest.mark.parametrize("path", ["/model/a.b/converse-stream", "/v1/chat/completions"])
def test_first_event_arrives_before_the_second_is_sent(path: str) -> None:
    first = encode_frame({":event-type": "messageStart", ":message-type": "event"}, b'{"role":"assistant","p":"a"}')
    rest = encode_frame({":event-type": "messageStop", ":message-type": "event"}, b'{"stopReason":"end_turn"}')
    may_go_on = threading.Event()
    held: list[bool] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM + chunk(first))
        await writer.drain()
        held.append(await asyncio.to_thread(may_go_on.wait, 10))
        writer.write(chunk(rest) + b"0\r\n\r\n")
        await writer.drain()

    body = b'{"messages":[{"role":"user","content":"x"}],"stream":true}'
    with upstream(handle) as url, gateway(url) as base, open_response(base, path, body) as response:
        assert response.read1(65536)
        may_go_on.set()
        response.read()
    assert held == [True]


@pytest.mark.parametrize("at_boundary", [True, False])
def test_broken_stream_ends_with_an_exception_frame_or_a_cut_connection(
    at_boundary: bool, caplog: pytest.LogCaptureFixture
) -> None:
    complete = frames(2)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED_STREAM + chunk(b"".join(complete) if at_boundary else complete[0] + complete[1][:-5]))
        await writer.drain()

    with upstream(handle) as url, gateway(url) as base:
        if at_boundary:
            *good, last = FrameDecoder().feed(call(base, "/model/a.b/converse-stream").body)
            assert [frame.headers[":event-type"] for frame in good] == ["odd0", "odd1"]
            assert last.headers[":exception-type"] == "serviceUnavailableException"
        else:
            with pytest.raises(http.client.IncompleteRead):
                call(base, "/model/a.b/converse-stream")
    assert "ASGI" not in caplog.text


def test_authorization_of_the_caller_is_not_sent_upstream(gateway_url: str, emulator_url: str) -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        seen.append(head)
        writer.write(http_reply(b"{}"))
        await writer.drain()

    with upstream(handle) as url, gateway(url, aws_bearer_token_bedrock="up-token") as base:
        call(base, PATHS[0])
    assert b"authorization: bearer up-token" in seen[0].lower()
    assert KEY.encode() not in seen[0]


@pytest.mark.parametrize("query", ["byProvider=a%2fb", "byProvider=a+b", "x=a=b", "x=~!'()*", "x=%c3%a9", "x", "x=%"])
def test_query_is_accepted_in_any_encoding(gateway_url: str, query: str) -> None:
    assert call(gateway_url, f"/foundation-models?{query}", method="GET", body=None).status == 200
    body = b'{"messages":[{"role":"user","content":[{"text":"x"}]}]}'
    assert call(gateway_url, f"/model/scripted.echo-v1:0/converse?{query}", body).status == 200


def test_unknown_paths_and_methods_return_errors_of_their_dialect(gateway_url: str) -> None:
    cases: list[tuple[str, str, int, str]] = [
        ("GET", "/model/a.b/converse", 405, "UnknownOperationException"),
        ("POST", "/model/a.b/nothing", 404, "ResourceNotFoundException"),
        ("GET", "/foundation-model-availability/x", 404, "ResourceNotFoundException"),
    ]
    for method, path, status, name in cases:
        response = call(gateway_url, path, method=method)
        assert (response.status, response.headers["x-amzn-errortype"]) == (status, name), path
        assert b'"message"' in response.body
    for method, path, status in [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/x", 404),
    ]:
        response = call(gateway_url, path, method=method)
        assert response.status == status
        assert b'"error":{"message"' in response.body


def test_too_large_body_is_refused_while_it_is_read(emulator_url: str) -> None:
    with gateway(emulator_url, max_body_bytes=2048) as base:
        for path, words in (
            ("/v1/chat/completions", b'"code":"request_too_large"'),
            (PATHS[0], b'"message":"the body is larger'),
        ):
            response = call(base, path, b"x" * 3000)
            assert response.status == 413
            assert words in response.body

            def pieces() -> Any:
                for _ in range(30):
                    yield b"y" * 100

            assert call(base, path, pieces(), encode_chunked=True).status == 413


def test_compressed_body_is_refused(gateway_url: str) -> None:
    response = call(gateway_url, "/v1/chat/completions", b"x", headers={"Content-Encoding": "gzip"})
    assert (response.status, b"content-encoding" in response.body) == (400, True)


def test_a_large_complete_response_passes_unchanged_with_its_length() -> None:
    answer = random.Random(2).randbytes(2_000_000)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_reply(answer, content_type="application/octet-stream"))
        await writer.drain()

    with upstream(handle) as bedrock, gateway(bedrock) as url:
        found = call(url, "/model/amazon.nova-lite-v1:0/invoke")
    assert (found.status, found.headers["content-length"]) == (200, str(len(answer)))
    assert found.body == answer
