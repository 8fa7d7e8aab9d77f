"""Writes the log as JSON lines: one for each request, and one for each incident. No content and no secrets."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from types import TracebackType
from typing import Any

from app.observability.log_writer import NonBlockingLogWriter
from app.observability.observer import DOUBTS, FAILURES, RequestRecord, TriedTarget
from app.observability.terminal import LogFormat, TerminalFormatter, is_for_people, request_line
from app.wire import json

_requests = logging.getLogger("outcrop.requests")
_log_writer = NonBlockingLogWriter()
# a request for 2,000 embeddings makes as many attempts
_MAX_TRIES = 20
_QUIET_ROUTES = frozenset({"/health", "/health/ready", "/metrics"})


class JsonFormatter(logging.Formatter):
    """Formats a log record, and its `fields` if it has any, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (UTC, ISO 8601), level, logger, message, then the fields."""
        line = _begin_line(record.created, record.levelno, record.name, record.getMessage())
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            kind, _, traceback = record.exc_info
            line["exception"] = {"type": kind.__name__ if kind else "", "frames": self._frames(traceback)}
        return json.dumps_text(line)

    @staticmethod
    def _frames(trace: TracebackType | None) -> list[str]:
        """Return where an exception was raised. Its text is left out, since it may quote a caller's content."""
        frames: list[str] = []
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{trace.tb_lineno} {code.co_qualname}")
            trace = trace.tb_next
        return frames[-12:]


def _begin_line(moment: float, level: int, logger: str, message: str) -> dict[str, object]:
    return {
        "time": _time_of(moment),
        "level": logging.getLevelName(level),
        "logger": logger,
        "message": message,
    }


def _time_of(moment: float) -> str:
    second = int(moment)
    return f"{_moment(second)}.{int((moment - second) * 1000):03d}Z"


@lru_cache(4)
def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def configure_logging(level: str, log_format: LogFormat = "json") -> None:
    """Write the records of every logger, uvicorn's included, to stderr: as JSON lines, or as lines for people."""
    # no line contains these, so they need not be collected (the logging HOWTO, "Optimization")
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        setattr(logging, name, None)
    handler = logging.StreamHandler(_log_writer)
    is_readable = is_for_people(log_format)
    handler.setFormatter(TerminalFormatter() if is_readable else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        if is_readable:  # the banner says what uvicorn says
            logger.setLevel(logging.WARNING)
    for noisy in ("botocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class LogObserver:
    """Writes one line for each request, if the level of the logger `outcrop.requests` allows it.

    The line bypasses that logger: its records and handlers would double the CPU time of a line.

    Args:
        write: is called with each line; by default, it is written to stderr. log_format: of the line.
    """

    def __init__(self, write: Callable[[bytes], object] | None = None, log_format: LogFormat = "json") -> None:
        self._write = write or _log_writer.write_soon
        self._is_for_people = is_for_people(log_format)

    def request_ended(self, record: RequestRecord) -> None:
        """Log a request, at a level that follows from the kind of its error and not from its dialect's status."""
        level, start, description = _common(_common_of(record))
        if not _requests.isEnabledFor(level):
            return
        if self._is_for_people:
            line = _begin_line(time.time(), level, _requests.name, "request")
            line["request_id"] = record.request_id
            line |= _described(_common_of(record)) | _outcome_of(record)
            self._write(request_line(line) + b"\n")
        else:
            # the members of several objects, as those of one
            moment = _time_of(time.time()).encode()
            request_id, end = json.dumps(record.request_id), json.dumps(_outcome_of(record))
            self._write(b'{"time":"%b",%b,"request_id":%b%b%b\n' % (moment, start, request_id, description, end[1:]))


# what many requests have in common; a field of the record is logged if it is not empty
_COMMON = (
    *("method", "client", "route", "dialect", "caller", "team", "key_name", "model", "target", "location", "mode"),
    *("surface", "streamed", "status", "error"),
)
_common_of = attrgetter(*_COMMON)
# of botocore's service model (2026-11); callers may send any name
_TIERS = frozenset({"default", "flex", "priority", "reserved", "optimized"})


def _described(values: tuple[object, ...]) -> dict[str, Any]:
    return {name: value for name, value in zip(_COMMON, values, strict=True) if value}


@lru_cache(256)
def _common(values: tuple[object, ...]) -> tuple[int, bytes, bytes]:
    """Return what need not be determined for each request: the level of its line, and members of a JSON object.

    The first members are those before the id of the request; the others stand between two commas.
    """
    described = _described(values)
    level = _level_of(RequestRecord(**{"request_id": "", "method": "", **described}))
    return level, _start_of_request(level), b",%b," % json.dumps(described)[1:-1]


@lru_cache(8)
def _start_of_request(level: int) -> bytes:
    start = {"level": logging.getLevelName(level), "logger": _requests.name, "message": "request"}
    return json.dumps(start)[1:-1]


def _level_of(record: RequestRecord) -> int:
    if record.route in _QUIET_ROUTES:
        return logging.DEBUG
    if record.error in FAILURES or record.is_broken:
        return logging.ERROR
    if record.error:
        return logging.WARNING if record.error in DOUBTS else logging.INFO
    return logging.INFO if record.status < 500 else logging.ERROR


def _outcome_of(record: RequestRecord) -> dict[str, object]:
    """Return the fields that differ from request to request. Names that callers chose are only counted."""
    fields: dict[str, object] = {}
    if record.detail:
        fields["detail"] = record.detail
    if record.upstream_request_id:
        fields["upstream_request_id"] = record.upstream_request_id
    if record.ignored:
        fields["ignored"] = len(record.ignored)
    if record.adjusted:
        fields["adjusted"] = record.adjusted
    if record.exceeded:
        fields["exceeded"] = record.exceeded
    if attempts := len(record.tries):
        fields["attempts"] = attempts
    if attempts > 1:
        fields["tries"] = [_try(each) for each in record.tries[:_MAX_TRIES]]
    if record.tier:
        fields["tier"] = record.tier if record.tier in _TIERS else "other"
    if record.model_behind not in ("", record.target):
        fields["model_behind"] = record.model_behind
    if record.trace.trace_id:
        fields["trace_id"] = record.trace.trace_id
    _add_amounts(fields, record)
    return fields


def _add_amounts(fields: dict[str, object], record: RequestRecord) -> None:
    fields["duration_ms"] = round((time.monotonic() - record.started) * 1000, 2)
    if record.first_event_ms is not None:
        fields["first_event_ms"] = round(record.first_event_ms, 2)
    if record.cost is not None:
        fields["cost_usd"] = round(record.cost, 9)
    if record.usage is not None:
        fields["tokens"] = record.usage.counts()
    if record.quota is not None:
        fields["quota"] = record.quota


def _try(attempt: TriedTarget) -> dict[str, object]:
    location = {"location": attempt.location} if attempt.location else {}
    outcome = {"outcome": attempt.error or "ok", "ms": round(attempt.milliseconds, 2)}
    return {"target": attempt.target, **location, **outcome}
