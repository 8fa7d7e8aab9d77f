"""The log contains neither content nor secrets, and describes each request."""

import json
import logging
from typing import Any

import httpx
import pytest

from app.observability.logs import JsonFormatter, LogObserver
from tests.servers import KEY, emulator_app, gateway, serving

CANARY = "CANARY7f3a"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
CALLS: list[tuple[str, Any, dict[str, str]]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": CANARY}]}, {}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": CANARY}], "stream": True}, {}),
    ("/v1/chat/completions", {"messages": [{"role": CANARY, "content": CANARY}]}, {}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], CANARY: CANARY}, {}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "model": f"{CANARY} x"}, {}),
    ("/v1/chat/completions", f'{{"messages": {CANARY}'.encode(), {}),
    ("/v1/chat/completions", {}, {"authorization": f"Bearer {CANARY}"}),
    ("/v1/chat/completions", {}, {"x-api-key": CANARY}),
    ("/v1/chat/completions", {}, {"x-request-id": f"{CANARY} bad"}),
    ("/model/scripted.echo-v1:0/converse", {"messages": [{"role": "user", "content": [{"text": CANARY}]}]}, {}),
    ("/model/scripted.echo-v1:0/converse-stream", {"messages": [{"role": "user", "content": [{"text": CANARY}]}]}, {}),
    ("/model/scripted.echo-v1:0/converse", {"messages": [{"role": CANARY, "content": []}]}, {}),
    (
        "/model/scripted.echo-v1:0.internal/converse",
        {"messages": [{"role": "user", "content": [{"text": CANARY}]}]},
        {},
    ),
    (f"/model/%20{CANARY}/converse", {}, {}),
    ("/v1/responses", {"input": CANARY}, {}),
    ("/v1/responses", {"input": CANARY, "stream": True, CANARY: CANARY}, {}),
    ("/v1/responses", {"input": [{"type": CANARY}], "previous_response_id": CANARY}, {}),
    (f"/v1/responses/{CANARY}", {}, {}),
    ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": CANARY, "documents": [CANARY]}, {}),
    ("/v1/rerank", {"model": "cohere.rerank-v3-5:0", "query": 5, "documents": CANARY, CANARY: CANARY}, {}),
    ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": CANARY}]}, {}),
    ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": CANARY}], "stream": True}, {}),
    ("/v1/messages", {"max_tokens": 5, "messages": [{"role": CANARY, "content": CANARY}], CANARY: CANARY}, {}),
    (
        "/v1/messages",
        {"model": CLAUDE, "max_tokens": 5, "messages": [{"role": "user", "content": CANARY}], CANARY: CANARY},
        {"anthropic-beta": CANARY, "anthropic-version": CANARY},
    ),
    (
        "/v1/messages",
        {"model": CLAUDE, "max_tokens": 5, "messages": [{"role": CANARY, "content": CANARY}], "stream": True},
        {},
    ),
    ("/v1/messages/count_tokens", {"model": CLAUDE, "messages": [{"role": "user", "content": CANARY}]}, {}),
    (f"/{CANARY}?{CANARY}", {}, {}),
    (f"/v1/models?{CANARY}", {}, {}),
]


class LogLines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Any:
    handler = LogLines()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(before)


def test_content_and_keys_are_not_logged(lines: list[str]) -> None:
    with (
        serving(emulator_app()) as url,
        gateway(url, LogObserver(lambda line: lines.append(line.decode())), aws_bearer_token_bedrock=None) as base,
    ):
        for path, body, headers in CALLS:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            httpx.post(base + path, content=content, headers={"authorization": f"Bearer {KEY}", **headers})
    ours = [
        line for line in lines if '"logger":"outcrop' in line or '"logger":"app' in line or '"logger":"uvicorn' in line
    ]
    assert len([line for line in ours if '"message":"request"' in line]) >= len(CALLS)
    leaks = [line for line in ours if CANARY in line or KEY in line]
    assert leaks == []


def test_authentication_failure_is_logged_with_a_reason(lines: list[str]) -> None:
    with serving(emulator_app()) as url, gateway(url, LogObserver(lambda line: lines.append(line.decode()))) as base:
        assert httpx.get(f"{base}/v1/models", headers={"authorization": "Bearer wrong"}).status_code == 401
    line = json.loads(next(line for line in lines if '"error":"authentication"' in line))
    assert line["detail"]
    assert "wrong" not in line["detail"]


def test_log_line_describes_the_request(lines: list[str]) -> None:
    with serving(emulator_app()) as url, gateway(url, LogObserver(lambda line: lines.append(line.decode()))) as base:
        body = {"model": "scripted.echo-v1:0", "messages": [{"role": "user", "content": "hello"}], "seed": 1}
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "mine-1"}
        answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
    line = json.loads(next(line for line in lines if '"request_id":"mine-1"' in line))
    assert line["time"].endswith("Z")
    expected = {
        "level": "INFO",
        "logger": "outcrop.requests",
        "message": "request",
        "request_id": "mine-1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "dialect": "openai_chat",
        "caller": "tests",
        "model": "scripted.echo-v1:0",
        "target": "scripted.echo-v1:0",
        "mode": "translated",
        "surface": "converse",
        "status": 200,
        "attempts": 1,
        "ignored": 1,
    }
    assert {name: line[name] for name in expected} == expected
    assert line["tokens"]["output"] == 2
    assert line["duration_ms"] > 0
    assert line["upstream_request_id"]


def test_exception_is_logged_with_its_location_without_its_message() -> None:
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, "f", 1, "oops", (), sys.exc_info())
    line = JsonFormatter().format(record)
    assert CANARY not in line
    assert "test_log_contents.py" in line
