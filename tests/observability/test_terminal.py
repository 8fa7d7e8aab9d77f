"""Lines for people: on a terminal, and not elsewhere."""

import logging
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.converse.usage import Usage
from app.observability.logs import LogObserver
from app.observability.observer import RequestRecord
from app.observability.terminal import TerminalFormatter, is_for_people
from tests.programs import aws, environment

ROOT = Path(__file__).parents[2]


def test_the_line_of_a_request_is_readable(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines: list[bytes] = []
    usage = Usage(4, 1)
    record = RequestRecord(
        "id", "POST", route="/v1/messages", caller="team-a", model="nova-pro", status=200, usage=usage, cost=0.000006
    )
    LogObserver(lines.append, "text").request_ended(record)
    words = lines[0].decode().split()
    assert words[1:-2] == ["200", "/v1/messages", "team-a", "nova-pro", "4+1", "tok", "$0.000006"]
    assert words[-1] == "ms"


def test_the_line_has_what_an_alias_stood_for_and_a_cost_below_a_millionth(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines: list[bytes] = []
    record = RequestRecord(
        "id", "POST", route="/v1/messages", model="default", target="us.nova-lite", status=200, cost=0.00000048
    )
    LogObserver(lines.append, "text").request_ended(record)
    words = lines[0].decode().split()
    assert words[1:7] == ["200", "/v1/messages", "default", "->", "us.nova-lite", "$0.00000048"]


def test_a_failed_request_has_its_error_and_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines: list[bytes] = []
    fields = {"route": "/v1/messages", "status": 400, "error": "invalid_request", "detail": "field top_k"}
    record = RequestRecord("id", "POST", model="a\x1b[2Jb", **fields)
    LogObserver(lines.append, "text").request_ended(record)
    text = lines[0].decode()
    assert text.rstrip().endswith("ms invalid_request field top_k")
    assert " 400 /v1/messages a?[2Jb " in text


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("POST", {"error": "not_found", "detail": "/v1/models"}, 404),
        ("DELETE", {"error": "method_not_allowed", "route": "/v1/models"}, 405),
    ],
)
def test_a_request_for_what_does_not_exist_has_its_method_and_path(
    caplog: pytest.LogCaptureFixture, method: str, fields: dict[str, str], status: int
) -> None:
    caplog.set_level(logging.INFO)
    lines: list[bytes] = []
    LogObserver(lines.append, "text").request_ended(RequestRecord("id", method, status=status, **fields))
    words = lines[0].decode().split()
    assert words[1:4] == [str(status), method, "/v1/models"]
    assert words[-2:] == ["ms", fields["error"]]


def test_other_lines_have_level_message_and_fields() -> None:
    record = logging.LogRecord("app", logging.WARNING, __file__, 1, "no %s", ("way",), None)
    record.fields = {"port": 5}
    assert TerminalFormatter().format(record)[8:] == " WARNING no way port=5"


def test_the_format_follows_the_terminal_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [is_for_people(name) for name in ("auto", "json", "text")] == [False, False, True]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert [is_for_people(name) for name in ("auto", "json", "text")] == [True, False, True]


@pytest.mark.parametrize(("log_format", "start"), [("auto", "/docs"), ("json", '"listening"'), ("text", " listening ")])
def test_a_terminal_gets_a_banner_unless_a_format_is_set(log_format: str, start: str) -> None:
    reader, writer = pty.openpty()
    settings = {"PORT": "0", "LOG_FORMAT": log_format, **aws("http://127.0.0.1:9")}
    with subprocess.Popen(
        [sys.executable, "-m", "app"], env=environment(**settings), cwd=ROOT, stderr=writer
    ) as program:
        os.close(writer)
        text, deadline = "", time.monotonic() + 40
        while start not in text and time.monotonic() < deadline:
            text += os.read(reader, 4096).decode()
        program.terminate()
        while program.poll() is None:  # a terminal that nobody reads fills up
            try:
                os.read(reader, 4096)
            except OSError:
                break
    os.close(reader)
    assert start in text
    assert ("Outcrop" in text) == (log_format == "auto")
