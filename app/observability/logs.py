"""Writes the log as JSON lines: one for each request, and one for each incident. No content and no secrets."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from types import TracebackType

from msgspec import Struct, to_builtins

from app.observability.log_writer import NonBlockingLogWriter
from app.observability.observer import DOUBTS, FAILURES, RequestRecord, TriedTarget
from app.observability.terminal import LogFormat, TerminalFormatter, is_for_people, request_line
from app.wire import json

_requests = logging.getLogger("outcrop.requests")
_log_writer = NonBlockingLogWriter()
# a request for 2,000 embeddings makes as many attempts
_MAX_TRIES = 20
_QUIET_ROUTES = frozenset({"/health", "/health/ready", "/metrics"})


# the folder of the gateway's code, as frames name it
_OWN = (lambda: None).__code__.co_filename.rpartition("observability/")[0]


class JsonFormatter(logging.Formatter):
    """Formats a log record, and its `fields` if it has any, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (UTC, ISO 8601), level, logger, message, then the fields."""
        line = _begin_line(record.created, record.levelno, record.name, record.getMessage())
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            kind, error, traceback = record.exc_info
            line["exception"] = {
                "type": kind.__name__ if kind else "", "code": _code_of(error), "frames": self._frames(traceback)
            }  # fmt: skip
        return json.dumps_text(line)

    @staticmethod
    def _frames(trace: TracebackType | None) -> list[str]:
        """Return where an exception was raised. Its text is left out, since it may quote a caller's content."""
        frames, own = [], 0
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{trace.tb_lineno} {code.co_qualname}")
            own = len(frames) if code.co_filename.startswith(_OWN) else own
            trace = trace.tb_next
        # the last ones of the gateway, and the last ones of the library that it called
        return [*frames[max(own - 6, 0) : own], *frames[own:][-6:]]


def _code_of(error: BaseException | None) -> str:
    """Return the code of an error of the database (SQLSTATE) or of the system; empty if it has none."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None) or getattr(error, "errno", None)
    return str(code or "")


def _begin_line(moment: float, level: int, logger: str, message: str) -> dict[str, object]:
    return {
        "time": _time_of(moment),
        "level": logging.getLevelName(level),
        "logger": logger,
        "message": message,
    }


# formatting a number takes longer than the rest of a time
_FRACTIONS = [f".{milliseconds:03d}Z" for milliseconds in range(1000)]


def _time_of(moment: float) -> str:
    second, milliseconds = divmod(int(moment * 1000), 1000)
    return _moment(second) + _FRACTIONS[milliseconds]


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
    for noisy in ("alembic", "botocore", "boto3", "urllib3", "asyncio"):
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
        level, level_name = _level_of(record.route, record.error, record.status, record.streamed)
        if not _requests.isEnabledFor(level):
            return
        line = _line_of(record, level_name)
        if self._is_for_people:
            self._write(request_line(to_builtins(line)) + b"\n")
        else:
            self._write(json.dumps(line) + b"\n")


class _RequestLine(Struct, omit_defaults=True, gc=False):
    """The fields of a line, without those that are empty: from `request_id` to `trace_id`, the record's own."""

    time: str
    level: str
    logger: str
    message: str
    request_id: str = ""
    method: str = ""
    client: str = ""
    route: str = ""
    dialect: str = ""
    caller: str = ""
    team: str = ""
    key_name: str = ""
    model: str = ""
    target: str = ""
    location: str = ""
    mode: str = ""
    surface: str = ""
    streamed: bool = False
    status: int = 0
    error: str = ""
    detail: str = ""
    upstream_request_id: str = ""
    adjusted: list[str] = []
    exceeded: Sequence[str] = ()
    trace_id: str = ""
    duration_ms: float | None = None
    first_event_ms: float | None = None
    attempts: int = 0
    tries: list[dict[str, object]] = []
    tokens: dict[str, int] | None = None
    quota: dict[str, object] | None = None
    cost_usd: float | None = None
    tier: str = ""
    model_behind: str = ""
    ignored: int = 0


_FIELDS = _RequestLine.__struct_fields__
_copied_of = attrgetter(*_FIELDS[_FIELDS.index("request_id") : _FIELDS.index("trace_id")], "trace.trace_id")
# of botocore's service model (2026-11); callers may send any name
_TIERS = frozenset({"default", "flex", "priority", "reserved", "optimized"})


def _line_of(record: RequestRecord, level_name: str) -> _RequestLine:
    """Return the line of a request. Names that callers chose are only counted."""
    line = _RequestLine(_time_of(time.time()), level_name, _requests.name, "request", *_copied_of(record))
    line.duration_ms = round((time.monotonic() - record.started) * 100_000) / 100  # two digits, in a third of the time
    if record.first_event_ms is not None:
        line.first_event_ms = round(record.first_event_ms, 2)
    line.attempts = len(record.tries)
    if line.attempts > 1:
        line.tries = [_try(each) for each in record.tries[:_MAX_TRIES]]
    if record.usage is not None:
        line.tokens = record.usage.counts()
    if (quota := record.quota) is not None:
        waited_ms = round(quota.waited * 1000, 2) if quota.waited else 0.0
        line.quota = {"waited_ms": waited_ms, "reserved": quota.reserved, "settled": quota.settled}
    if record.cost is not None:
        line.cost_usd = round(record.cost, 9)
    if record.tier:
        line.tier = record.tier if record.tier in _TIERS else "other"
    if record.model_behind != record.target:
        line.model_behind = record.model_behind
    if record.ignored:
        line.ignored = len(record.ignored)
    return line


@lru_cache(256)
def _level_of(route: str, error: str, status: int, streamed: bool) -> tuple[int, str]:
    """Return the level of a line, and its name."""
    level = _number_of(RequestRecord("", "", route=route, error=error, status=status, streamed=streamed))
    return level, logging.getLevelName(level)


def _number_of(record: RequestRecord) -> int:
    if record.route in _QUIET_ROUTES:
        return logging.DEBUG
    if record.error in FAILURES or record.is_broken:
        return logging.ERROR
    if record.error:
        return logging.WARNING if record.error in DOUBTS else logging.INFO
    return logging.INFO if record.status < 500 else logging.ERROR


def _try(attempt: TriedTarget) -> dict[str, object]:
    location = {"location": attempt.location} if attempt.location else {}
    outcome = {"outcome": attempt.error or "ok", "ms": round(attempt.milliseconds, 2)}
    return {"target": attempt.target, **location, **outcome}
