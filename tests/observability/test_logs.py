import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy.exc

from app import errors
from app.converse.usage import Usage
from app.observability import logs
from app.observability.logs import JsonFormatter, LogObserver, configure_logging
from app.observability.observer import DOUBTS, FAILURES, RequestRecord, TriedTarget


def record(**members: Any) -> RequestRecord:
    return RequestRecord(request_id="r", method="POST", **members)


def line_of(ended: RequestRecord) -> dict[str, Any]:
    lines: list[bytes] = []
    LogObserver(lines.append).request_ended(ended)
    return dict(json.loads(b"".join(lines) or "{}"))


@pytest.mark.parametrize(
    ("members", "level"),
    [
        ({"status": 200}, "INFO"),
        ({"status": 502, "error": "upstream_failed"}, "ERROR"),
        ({"status": 200, "route": "/health"}, "DEBUG"),
        ({"status": 200, "streamed": True, "error": "upstream_failed"}, "ERROR"),
        ({"status": 200, "streamed": True, "error": "caller_gone"}, "INFO"),
        ({"status": 200, "streamed": True, "error": "caller_deadline"}, "INFO"),
        ({"status": 504, "error": "caller_deadline"}, "INFO"),
        ({"status": 408, "error": "upstream_timeout"}, "ERROR"),
        ({"status": 429, "error": "overloaded"}, "ERROR"),
        ({"status": 529, "error": "gateway_busy"}, "WARNING"),
        ({"status": 403, "error": "permission"}, "WARNING"),
        ({"status": 400, "error": "invalid_request"}, "INFO"),
    ],
)
def test_the_level_follows_the_kind_of_error(caplog: pytest.LogCaptureFixture, members: Any, level: str) -> None:
    with caplog.at_level(level):
        assert line_of(record(**members))["level"] == level
    with caplog.at_level(logging.getLevelName(level) + 1):
        assert line_of(record(**members)) == {}


def test_failures_and_doubts_are_kinds_of_errors() -> None:
    kinds = {getattr(value, "kind", "") for value in vars(errors).values()}
    assert FAILURES | DOUBTS | {"caller_deadline"} <= kinds
    assert not FAILURES & DOUBTS


def test_the_number_of_logged_attempts_is_limited(caplog: pytest.LogCaptureFixture) -> None:
    ended = record(status=200, tries=[TriedTarget("m")] * 2048)
    with caplog.at_level(logging.INFO):
        line = line_of(ended)
    assert (line["attempts"], len(line["tries"])) == (2048, 20)


def test_a_location_is_logged_unless_it_is_the_gateways_own(caplog: pytest.LogCaptureFixture) -> None:
    ended = record(status=200, target="m", location="us-west-2 111122223333")
    ended.tries = [TriedTarget("m", ended.location, error="rate_limited"), TriedTarget("m", error="")]
    ended.location = ""
    with caplog.at_level(logging.INFO):
        line = line_of(ended)
    assert "location" not in line
    assert [each.get("location") for each in line["tries"]] == ["us-west-2 111122223333", None]
    with caplog.at_level(logging.INFO):
        assert line_of(record(status=200, location="us-west-2"))["location"] == "us-west-2"


def test_the_model_behind_an_arn_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert line_of(record(status=200, target="arn:x", model_behind="a.b"))["model_behind"] == "a.b"
        assert "model_behind" not in line_of(record(status=200, target="a.b", model_behind="a.b"))


@pytest.mark.parametrize(("tier", "said"), [("flex", "flex"), ("my prompt", "other")])
def test_an_unknown_tier_is_logged_as_other(caplog: pytest.LogCaptureFixture, tier: str, said: str) -> None:
    with caplog.at_level(logging.INFO):
        assert line_of(record(status=200, tier=tier))["tier"] == said
        assert "tier" not in line_of(record(status=200))


def test_a_line_is_written_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    LogObserver().request_ended(record(status=500))
    (line,) = capsys.readouterr().err.splitlines(keepends=True)
    assert line.endswith("}\n")
    assert json.loads(line)["status"] == 500


def test_a_line_is_json_without_unknown_fields(caplog: pytest.LogCaptureFixture) -> None:
    known = record(
        status=200, usage=Usage(1, 2, 3, 4, 5, 6), first_event_ms=1.234567, ignored=["a", "b"], adjusted=["stop"]
    )
    with caplog.at_level(logging.INFO):
        line = line_of(known)
    assert line["tokens"] == {
        "input": 1,
        "output": 2,
        "cache_read": 3,
        "cache_write": 4,
        "reasoning": 5,
        "cache_write_1h": 6,
    }
    assert (line["first_event_ms"], line["ignored"], line["adjusted"]) == (1.23, 2, ["stop"])
    assert not {"caller", "error", "started"} & set(line)


def test_every_logger_of_the_process_writes_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    configure_logging("INFO")
    logging.getLogger("uvicorn.error").info("started %s", "now")
    for noisy in ("botocore", "alembic.runtime.plugins"):
        logging.getLogger(noisy).info("chatter")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "started now"


def exception_line(action: Callable[[], object]) -> dict[str, Any]:
    """Return what the log says of the exception of an action."""
    try:
        action()
    except Exception:  # noqa: BLE001
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "oops", (), sys.exc_info())
    found: dict[str, Any] = json.loads(JsonFormatter().format(record))["exception"]
    return found


def test_an_exception_has_the_code_of_the_database_or_the_system_and_no_text() -> None:
    class Refused(Exception):
        sqlstate = "42P01"

    def refuse() -> None:
        raise sqlalchemy.exc.ProgrammingError("select 'secret'", {}, Refused("secret"))

    def ask() -> None:
        sqlalchemy.create_engine("sqlite://", creator=refuse).connect()

    def fill() -> None:
        raise OSError(28, "secret")

    found = exception_line(ask)
    assert (found["type"], found["code"], "secret" in str(found)) == ("ProgrammingError", "42P01", False)
    assert (exception_line(fill)["code"], exception_line(lambda: 1 // 0)["code"]) == ("28", "")


def test_of_a_deep_library_the_frames_of_the_gateway_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        sqlalchemy.create_engine("sqlite:////nonexistent/folder/file").connect()

    monkeypatch.setattr(logs, "_OWN", __file__)
    frames = exception_line(ask)["frames"]
    assert [frame.rpartition(" ")[2].rpartition(".")[2] for frame in frames[:2]] == ["exception_line", "ask"]
    assert len(frames) == 8
    assert frames[-1].startswith("sqlalchemy/engine/default.py")
