"""JSON logs: one line a request, one line an incident. Never content, never secrets."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from app.observability.log_writer import NonBlockingLogWriter
from app.observability.observer import DOUBTS, FAILURES, Attempt, RequestRecord
from app.wire import json

_requests = logging.getLogger("outcrop.requests")
_log_writer = NonBlockingLogWriter()
# a request for two thousand vectors has as many
_MAX_TRIES = 20


class JsonFormatter(logging.Formatter):
    """Renders a log record, and the `fields` it may carry, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line: time (UTC, ISO 8601), level, logger, message, then the fields."""
        line = _begin_line(record.created, record.levelno, record.name, record.getMessage())
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self._frames(record.exc_info)
        return json.dumps_text(line)

    @staticmethod
    def _frames(exc_info: Any) -> dict[str, Any]:
        """Where an exception was raised; not its text, which may quote what a caller sent."""
        kind, _, trace = exc_info
        frames = []
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rpartition('site-packages/')[2]}:{trace.tb_lineno} {code.co_qualname}")
            trace = trace.tb_next
        return {"type": kind.__name__ if kind else "", "frames": frames[-12:]}


def _begin_line(moment: float, level: int, logger: str, message: str) -> dict[str, Any]:
    """What every line tells first."""
    return {
        "time": f"{_moment(int(moment))}.{int(moment % 1 * 1000):03d}Z",
        "level": logging.getLevelName(level),
        "logger": logger,
        "message": message,
    }


@lru_cache(4)
def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def configure_logging(level: str) -> None:
    """Send every logger of the process, uvicorn's included, to stderr as JSON lines."""
    # what no line tells need not be found out for each (the logging HOWTO, "Optimization")
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        setattr(logging, name, None)
    handler = logging.StreamHandler(_log_writer)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for noisy in ("botocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class LogObserver:
    """Writes one line for each request, at the level of the logger `outcrop.requests`.

    It does not go through that logger, whose records and handlers would be half of what the line costs.

    Args:
        write: takes a line; to stderr where nothing is given.
    """

    _QUIET_ROUTES: ClassVar[frozenset[str]] = frozenset({"/health", "/health/ready", "/metrics"})

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write or _log_writer.write_soon

    def request_ended(self, record: RequestRecord) -> None:
        """Log the request, by what it means to who runs the gateway, whatever status its dialect has for that."""
        level = _level_of(record)
        if record.route in self._QUIET_ROUTES:
            level = logging.DEBUG
        if _requests.isEnabledFor(level):
            line = _begin_line(time.time(), level, _requests.name, "request")
            line.update(_fields(record))
            self._write(json.dumps(line) + b"\n")


def _level_of(ended: RequestRecord) -> int:
    if ended.error in FAILURES or ended.is_broken or (ended.status >= 500 and not ended.error):
        return logging.ERROR
    return logging.WARNING if ended.error in DOUBTS else logging.INFO


_PLAIN = tuple(
    name
    for name in RequestRecord.__struct_fields__
    if name not in {"started", "usage", "first_event_ms", "model_behind", "cost", "tries", "trace", "has_moved", "tier"}
)
# what Bedrock has (botocore's service model, 2026-11); callers may ask for anything
_TIERS = frozenset({"default", "flex", "priority", "reserved", "optimized"})


def _fields(record: RequestRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(record, name))}
    # A caller chose these names, so only their number is logged.
    if record.ignored:
        fields["ignored"] = len(record.ignored)
    if record.tries:
        fields["attempts"] = record.attempts
    if record.attempts > 1:
        fields["tries"] = [_try(each) for each in record.tries[:_MAX_TRIES]]
    if record.tier:
        fields["tier"] = record.tier if record.tier in _TIERS else "other"
    if record.model_behind not in ("", record.target):
        fields["model_behind"] = record.model_behind
    if record.trace.trace_id:
        fields["trace_id"] = record.trace.trace_id
    fields["duration_ms"] = round(record.elapsed_ms(), 2)
    if record.first_event_ms is not None:
        fields["first_event_ms"] = round(record.first_event_ms, 2)
    if record.cost is not None:
        fields["cost_usd"] = round(record.cost, 9)
    if record.usage is not None:
        fields["tokens"] = record.usage.counts()
    return fields


def _try(attempt: Attempt) -> dict[str, Any]:
    location = {"location": attempt.location} if attempt.location else {}
    outcome = {"outcome": attempt.error or "ok", "ms": round(attempt.milliseconds, 2)}
    return {"target": attempt.target, **location, **outcome}
