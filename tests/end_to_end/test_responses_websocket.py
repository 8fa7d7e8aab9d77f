"""The WebSocket at `/v1/responses`: each message passes the same limits as a request of HTTP."""

import contextlib
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from app.dialects.openai.responses.schema_in import ResponseRequest
from app.observability.logs import LogObserver
from app.server.protocol import guarded
from tests.end_to_end.conftest import Records
from tests.end_to_end.websockets_client import Caller, address, calling
from tests.programs import aws, running
from tests.servers import KEY, emulator_app, free_port, gateway, serving

ECHO, LONG = "scripted.echo-v1:0", "scripted.long-v1:0"
STALLED = "scripted.long-v1:0.stall-5"
HEADERS = {"authorization": f"Bearer {KEY}"}


def refused(url: str, path: str = "/v1/responses", **headers: str) -> Any:
    """Return the response that refuses an upgrade."""
    with pytest.raises(InvalidStatus) as caught, connect(address(url, path), additional_headers=headers):
        pass
    response = caught.value.response
    return response.status_code, json.loads(bytes(response.body or b"{}"))["error"]["message"]


def test_upgrade_needs_a_key_a_path_and_no_foreign_origin(gateway_url: str) -> None:
    # clients of OpenAI's give up at once after a 400 only
    status, message = refused(gateway_url)
    assert (status, message[:10]) == (400, "no API key")
    wrong = "this path takes no WebSocket: GET /v1/responses does"
    for path in ("/v1/models", "/v1/realtime", "/health", "/v1/chat/completions"):
        assert refused(gateway_url, path, **HEADERS) == (404, wrong)
    # any page can open a WebSocket to this machine, and needs no CORS to read it
    status, message = refused(gateway_url, origin="https://example.com", **HEADERS)
    assert (status, message) == (403, "scripts of this origin may not connect")
    signed = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/bedrock/aws4_request"
    assert refused(gateway_url, authorization=signed)[0] == 400


def test_scripts_of_an_allowed_origin_may_connect(emulator_url: str) -> None:
    with (
        gateway(emulator_url, cors_origins="https://app.example.com") as url,
        calling(url, origin="https://app.example.com") as caller,
    ):
        assert caller.ask(model=ECHO, input="hi")["type"] == "response.completed"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"sec-websocket-version": "8"}, 426), ({"sec-websocket-key": ""}, 400), ({"upgrade": ""}, 426), ({}, 101)],
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_handshakes(gateway_url: str, changes: dict[str, str], status: int, pieces: int) -> None:
    host, port = gateway_url.removeprefix("http://").split(":")
    headers = {
        "host": host,
        "connection": "keep-alive, Upgrade",
        "upgrade": "WebSocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        **HEADERS,
        **changes,
    }
    head = "GET /v1/responses HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items() if value
    )
    data = f"{head}\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for index in range(pieces):
            connection.sendall(data[len(data) * index // pieces : len(data) * (index + 1) // pieces])
            time.sleep(0.02)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if status == 101:  # RFC 6455, 1.3
        assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    if "upgrade" in changes:  # Codex falls back to POST at once
        assert b"\r\nupgrade: websocket\r\n" in answer
    if status == 426 and "upgrade" not in changes:
        assert b"\r\nsec-websocket-version: 13\r\n" in answer


def test_upgrade_with_a_body_is_refused(gateway_url: str) -> None:
    host, port = gateway_url.removeprefix("http://").split(":")
    head = "GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}\r\n{{}}".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_each_message_has_a_log_line_with_the_fields_of_a_request(
    emulator_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lines: list[bytes] = []
    with gateway(emulator_url, LogObserver(lines.append)) as url:
        with calling(url) as caller:
            assert caller.ask(model=ECHO, input="hi")["type"] == "response.completed"
            assert caller.ask(model=ECHO, input=5)["type"] == "error"
        httpx.post(f"{url}/v1/responses", json={"model": ECHO, "input": "hi", "stream": True}, headers=HEADERS)
    logged = [json.loads(line) for line in lines if b"/v1/responses" in line]
    upgrade, answered, failed, by_http = logged
    assert (upgrade["method"], upgrade["status"], upgrade["caller"]) == ("GET", 101, "tests")
    differ = {"time", "request_id", "duration_ms", "first_event_ms", "upstream_request_id", "tries"}
    of_http = {name: value for name, value in by_http.items() if name not in differ}
    assert {name: value for name, value in answered.items() if name not in differ} == {**of_http, "method": "WEBSOCKET"}
    assert answered.keys() == by_http.keys()
    assert (failed["status"], failed["error"], failed["detail"]) == (400, "invalid_request", "field input")


def test_errors_are_events_and_the_connection_stays_open(gateway_url: str, records: Records) -> None:
    with calling(gateway_url) as caller:
        for message in ('{"type":"response.cancel"}', "no JSON", "[]", '{"model":"no.such-model"}'):
            caller.connection.send(message)
            error = caller.receive()
            assert (error["type"], error["status"]) == ("error", 400)
            assert records.by_id(error["headers"]["x-request-id"]).status == 400
        missing = caller.ask(model="no.such-model", input="x")
        assert (missing["status"], missing["error"]["code"]) == (404, "model_not_found")
        throttled = caller.ask(model=f"{ECHO}.throttle", input="x")
        assert (throttled["status"], throttled["headers"]["retry-after"]) == (429, "1")
        broken = caller.ask(model=f"{LONG}.cut-6", input="x")
        assert (broken["type"], broken["response"]["error"]["code"]) == ("response.failed", "server_error")
        assert caller.ask(model=ECHO, input="x")["type"] == "response.completed"


@pytest.mark.parametrize("model", [ECHO, "openai.gpt-5.5"])
@pytest.mark.parametrize("body", [{"input": "hi"}, {"input": "hi", "generate": False}])
def test_first_event_has_the_headers_of_the_response(
    gateway_url: str, records: Records, model: str, body: dict[str, Any]
) -> None:
    """Without them, a caller by WebSocket would not learn what was ignored."""
    tools = [{"type": "image_generation"}]
    request = {"model": model, "tools": tools, "store": False, **body}
    with calling(gateway_url) as caller:
        caller.send(**request)
        first, *others = caller.events()
    over_http = httpx.post(f"{gateway_url}/v1/responses", json={**request, "stream": True}, headers=HEADERS)
    assert records.by_id(first["headers"].pop("x-request-id")).method == "WEBSOCKET"
    assert first["type"] == "response.created"
    assert first["headers"] == ({"x-outcrop-ignored": "tools[0]"} if "generate" not in body else {})
    assert "tools[0]" in over_http.headers["x-outcrop-ignored"].split(", ")
    assert not any("headers" in event for event in others)


def test_message_in_fragments_is_one_request(gateway_url: str) -> None:
    text = json.dumps({"type": "response.create", "model": ECHO, "input": "Grüezi \N{SNOWMAN}" * 1000})
    with calling(gateway_url) as caller:
        caller.connection.send(text[start : start + 1000] for start in range(0, len(text), 1000))
        answer = caller.events()[-1]["response"]
        assert answer["output"][0]["content"][0]["text"] == "Grüezi \N{SNOWMAN}" * 1000
        caller.connection.ping().wait(30)


def closed_with(caller: Caller) -> int:
    """Return the code with which the gateway closes the connection."""
    with pytest.raises(ConnectionClosed) as caught:
        caller.connection.recv(timeout=30)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_too_large_message_is_refused_and_closes_the_connection(emulator_url: str) -> None:
    with gateway(emulator_url, max_body_bytes=100_000) as url, calling(url) as caller:
        assert caller.ask(model=ECHO, input="x" * 90_000)["type"] == "response.completed"
    for size in (100_000, 190_000, 1_000_000):
        with gateway(emulator_url, max_body_bytes=100_000) as url, calling(url) as caller:
            error = caller.ask(model=ECHO, input="x" * size)
            assert (error["status"], error["error"]["code"]) == (413, "request_too_large")
            assert closed_with(caller) == 1009


def test_message_that_stops_is_refused_in_time(emulator_url: str) -> None:
    with gateway(emulator_url, caller_timeout=0.3) as url, calling(url) as caller:
        caller.connection.socket.sendall(b"\x81\xfe" + (1000).to_bytes(2) + bytes(4) + b'{"type":')
        error = caller.receive()
        assert (error["status"], error["error"]["code"]) == (408, "request_timeout")
        assert closed_with(caller) == 1009


def test_binary_message_closes_the_connection(gateway_url: str) -> None:
    with calling(gateway_url) as caller:
        caller.connection.send(b"{}")
        assert closed_with(caller) == 1003


def test_idle_connections_hold_no_permit_and_responses_do(emulator_url: str) -> None:
    body = {"model": ECHO, "input": "x"}
    with gateway(emulator_url, max_in_flight=1, max_waiting=0) as url, calling(url) as one, calling(url) as two:
        assert one.ask(**body)["type"] == two.ask(**body)["type"] == "response.completed"
        assert httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).status_code == 200
        one.send(model=STALLED, input="x")
        assert one.receive()["type"] == "response.created"
        busy = two.ask(**body)
        assert (busy["status"], busy["error"]["code"]) == (429, "overloaded")
        assert httpx.post(f"{url}/v1/responses", json=body, headers=HEADERS).status_code == 429
        one.connection.close()
        deadline = time.monotonic() + 30
        while two.ask(**body)["type"] != "response.completed":
            assert time.monotonic() < deadline


def test_caller_that_leaves_ends_the_response(gateway_url: str, records: Records) -> None:
    before = len(records.all)
    with calling(gateway_url) as caller:
        caller.send(model=STALLED, input="x")
        caller.receive()
    deadline = time.monotonic() + 30
    while not [record for record in records.all[before:] if record.error == "caller_gone"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_total_timeout_of_a_caller_ends_each_response(emulator_url: str) -> None:
    with gateway(emulator_url) as url:
        with calling(url, **{"x-outcrop-timeout": "1"}) as caller:
            last = caller.ask(model=STALLED, input="x")
            assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "timeout")
            assert caller.ask(model=ECHO, input="x")["type"] == "response.completed"


def upgraded(url: str, receive_buffer: int = 2**16) -> socket.socket:
    """Open a WebSocket without a library, so that its frames are seen."""
    host, port = url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    caller.settimeout(30)
    caller.connect((host, int(port)))
    key = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n"
    caller.sendall(f"GET /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{key}\r\n".encode())
    assert caller.recv(12) == b"HTTP/1.1 101"
    return caller


def frame(**message: object) -> bytes:
    text = json.dumps({"type": "response.create", **message}).encode()
    length = b"\xfe" + len(text).to_bytes(2) if len(text) < 2**16 else b"\xff" + len(text).to_bytes(8)
    return b"\x81" + length + bytes(4) + text


def test_silent_stream_sends_pings(emulator_url: str) -> None:
    with gateway(emulator_url, heartbeat_interval=0.05) as url, upgraded(url) as caller:
        caller.sendall(frame(model=STALLED, input="x" * 200))
        received = b""
        while not received.endswith(b"\x89\x00\x89\x00"):
            piece = caller.recv(65536)
            assert piece
            received += piece
        assert b"still here" not in received


def test_unread_responses_abort_the_connection(emulator_url: str, records: Records) -> None:
    with gateway(emulator_url, records, http=guarded(30, 0.5)) as url:
        with upgraded(url, 4096) as caller:
            caller.sendall(frame(model=ECHO, input="x" * 8_000_000))
            before = len(records.all)
            deadline = time.monotonic() + 40
            while not [record for record in records.all[before:] if record.error == "caller_gone"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")
def test_openai_sdk_connects(client: openai.OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=ECHO, input="Say this.", store=False)
        kinds = []
        for event in connection:
            kinds.append(event.type)
            if event.type == "response.completed":
                assert event.response.output_text == "Say this."
                break
    assert kinds[0] == "response.created"


def test_path_of_aws_has_a_websocket_too(gateway_url: str) -> None:
    with calling(gateway_url, "/openai/v1/responses") as caller:
        assert caller.ask(model=ECHO, input="x")["type"] == "response.completed"


def test_prepared_response_is_continued(gateway_url: str) -> None:
    with calling(gateway_url) as caller:
        prepared = caller.ask(model=ECHO, input="My name is Ada.", store=False, generate=False)["response"]
        assert (prepared["output"], prepared["usage"]["total_tokens"]) == ([], 0)
        more = caller.ask(model=ECHO, input="And?", store=False, previous_response_id=prepared["id"])
        assert more["response"]["usage"]["input_tokens"] > len("And?") / 4


@pytest.mark.parametrize("value", [0, "no", []])
def test_generate_must_be_true_or_false(gateway_url: str, value: object) -> None:
    with calling(gateway_url) as caller:
        error = caller.ask(model=ECHO, input="x", generate=value)
        assert (error["status"], error["error"]["param"]) == (400, "generate")
        assert caller.ask(model=ECHO, input="x", generate=None)["type"] == "response.completed"


def test_stored_response_is_continued_on_any_connection(gateway_url: str) -> None:
    with calling(gateway_url) as caller:
        first = caller.ask(model=ECHO, input="x")["response"]
        assert first["store"] is True
    with calling(gateway_url) as caller:
        assert caller.ask(model=ECHO, input="y", previous_response_id=first["id"])["type"] == "response.completed"
    got = httpx.get(f"{gateway_url}/v1/responses/{first['id']}", headers=HEADERS)
    assert got.json()["output"] == first["output"]


def test_responses_of_a_connection_are_forgotten_with_it(gateway_url: str) -> None:
    with calling(gateway_url) as caller:
        first = caller.ask(model=ECHO, input="x", store=False)["response"]
    assert httpx.get(f"{gateway_url}/v1/responses/{first['id']}", headers=HEADERS).status_code == 404


@pytest.mark.slow
def test_shutdown_closes_idle_connections_and_lets_responses_end(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    key = "secret-of-a-developer"
    with serving(emulator_app()) as bedrock, running("app", url=url, PORT=str(port), **aws(bedrock)) as process:
        with calling(url, key=key) as idle, calling(url, key=key) as busy:
            assert idle.ask(model=ECHO, input="x")["type"] == "response.completed"
            busy.send(model=f"{LONG}.drip-100", input="x", max_output_tokens=20)
            assert busy.receive()["type"] == "response.created"
            process.terminate()
            assert closed_with(idle) == 1001
            assert busy.events()[-1]["type"] in ("response.completed", "response.incomplete")
            assert closed_with(busy) == 1001
        assert process.wait(30) == 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
MEMBERS = sorted({*ResponseRequest.model_fields, "generate", "stream_options", "novel"} - {"model"})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=4))
def test_any_message_is_answered(gateway_url: str, message: dict[str, Any]) -> None:
    with calling(gateway_url) as caller:
        last = caller.ask(**{"model": ECHO, "input": "x", **message})
        assert last["type"] in ("response.completed", "response.incomplete") or last["status"] < 500, last
        assert caller.ask(model=ECHO, input="x")["type"] == "response.completed"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_frames_end_or_are_answered(gateway_url: str, pieces: list[bytes]) -> None:
    # a connection that hangs would time out, which is not a ConnectionError
    with upgraded(gateway_url) as caller, contextlib.suppress(ConnectionError):
        for piece in pieces:
            caller.sendall(piece)
        with contextlib.suppress(OSError):  # it was reset
            caller.shutdown(socket.SHUT_WR)
        while caller.recv(65536):
            pass
    assert httpx.get(f"{gateway_url}/health").status_code == 200
