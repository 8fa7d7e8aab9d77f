"""Formats log lines for a person at a terminal: `12:01:03 200 /v1/messages team-a nova-pro 4+1 tok $0.000006 5 ms`."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Literal

LogFormat = Literal["auto", "json", "text"]
_RED, _YELLOW, _GREEN, _DIM, _OFF = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_COLOURS = {"ERROR": _RED, "CRITICAL": _RED, "WARNING": _YELLOW}


def is_for_people(log_format: LogFormat) -> bool:
    """Return whether lines are for people: with `auto`, if stderr is a terminal."""
    if log_format != "auto":
        return log_format == "text"
    return sys.stderr is not None and sys.stderr.isatty()


def has_colours() -> bool:
    """Return whether stderr shows colours: it is a terminal, and `NO_COLOR` is not set."""
    return sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")


class TerminalFormatter(logging.Formatter):
    """Formats a log record, and its `fields` if it has any, as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, message, fields; an exception without its text, which may quote content."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        parts = [record.levelname, record.getMessage(), *(f"{name}={value}" for name, value in fields.items())]
        if record.exc_info and record.exc_info[0]:
            parts.append(record.exc_info[0].__name__)
            parts += [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])[-1:]]
        return _line(record.created, " ".join(parts), _COLOURS.get(record.levelname, ""))


def request_line(fields: Mapping[str, object]) -> bytes:
    """Return the line of a request from the fields of its JSON line."""
    status, tokens = fields.get("status", 0), fields.get("tokens")
    route, error, detail = fields.get("route"), fields.get("error"), fields.get("detail")
    endpoint = route
    if not route or error == "method_not_allowed":
        endpoint = f"{fields.get('method')} {route or detail or ''}".strip()
    model, target = fields.get("model"), fields.get("target")
    called = f"{model} -> {target}" if model and target and target != model else model
    parts = [status or "-", endpoint, fields.get("caller"), called]
    if isinstance(tokens, Mapping):
        parts.append(f"{tokens.get('input', 0)}+{tokens.get('output', 0)} tok")
    if (cost := fields.get("cost_usd")) is not None:
        parts.append(f"${cost:.9f}".rstrip("0").rstrip("."))
    parts.append(f"{fields.get('duration_ms', 0):.0f} ms")
    parts += [error, detail if route else ""]
    level = str(fields.get("level"))
    colour = _COLOURS.get(level) or (_GREEN if isinstance(status, int) and status < 400 else _YELLOW)
    return _line(time.time(), " ".join(str(part) for part in parts if part), colour).encode(errors="backslashreplace")


def _line(moment: float, text: str, colour: str) -> str:
    # callers choose names: none may move the cursor
    text = "".join(character if character.isprintable() else "?" for character in text)
    clock = time.strftime("%H:%M:%S", time.localtime(moment))
    return f"{_DIM}{clock}{_OFF} {colour}{text}{_OFF}" if has_colours() else f"{clock} {text}"
