"""Describes every fault of a configuration file, with its line and the name that was probably meant.

Imported only when there is a fault, and by `outcrop check`.
"""

import re
import tomllib
from types import UnionType
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel, ValidationError

from app.config.similar_names import similar_name

_TABLE = re.compile(r"\s*\[([^\[\]]+)\]")
_TABLE_OF_LIST = re.compile(r"\s*\[\[([^\[\]]+)\]\]")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")

Path = tuple[str | int, ...]


def describe_faults(error: ValidationError, text: str, file: type[BaseModel]) -> list[str]:
    """Return one line for each fault: `line 7: routes.a.targets.0.modl: unknown; did you mean 'model'?`.

    Args:
        file: the model of the whole file.
    """
    lines = _lines_of_paths(text)
    described = []
    for fault in error.errors():
        path: Path = tuple(step for step in fault["loc"] if step != "[key]")
        row = _row_at(path[:-1], file)
        words = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden" and row is not None:
            words = _unknown(str(path[-1]), list(row.model_fields))
        elif fault["type"] == "missing":
            words = "is missing"
        described.append(": ".join(filter(None, (_located(path, lines), words))))
    return described


def _row_at(path: Path, file: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the table at a path, if there is a table."""
    found: object = file
    for step in path:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(step))
            found = field.annotation if field is not None else None
        else:
            # a dictionary's value, or a list's element
            found = get_args(found)[-1] if get_args(found) else None
        while get_origin(found) in (Annotated, UnionType):
            found = get_args(found)[0]
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def locate(path: Path, text: str) -> str:
    """Return the line and the path of an entry: `line 7: routes.a.targets.0.model`."""
    return _located(path, _lines_of_paths(text))


def _located(path: Path, lines: dict[Path, int]) -> str:
    line = next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), 0)
    return ": ".join(filter(None, (f"line {line}" if line else "", ".".join(map(str, path)))))


def _unknown(name: str, known: list[str]) -> str:
    similar = similar_name(name, known)
    return f"unknown; did you mean '{similar}'?" if similar else f"unknown: use {', '.join(known)}"


def _lines_of_paths(text: str) -> dict[Path, int]:
    """Return the first line of each table, key and inline table of a list, by its path."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    key: Path = ()
    index = 0
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("#")[0]
        if listed := _TABLE_OF_LIST.match(code):
            tables = _in_last_tables(_steps(listed[1]), counts)
            table = key = (*tables, counts.get(tables, 0))
            counts[tables] = counts.get(tables, 0) + 1
            lines.setdefault(tables, number)
            lines.setdefault(table, number)
            continue
        if header := _TABLE.match(code):
            table = key = _in_last_tables(_steps(header[1]), counts)
            lines.setdefault(table, number)
            continue
        if named := _KEY.match(code):
            key, index = (*table, *_steps(named[1])), 0
            lines.setdefault(key, number)
        for _ in range(code.count("{")):
            lines.setdefault((*key, index), number)
            index += 1
    return lines


def _in_last_tables(steps: Path, counts: dict[Path, int]) -> Path:
    """Return the path that a header names: within a list of tables, it means the last one. counts: of such lists."""
    path: Path = ()
    for step in steps:
        if path in counts:
            path = (*path, counts[path] - 1)
        path = (*path, step)
    return path


def _steps(key: str) -> Path:
    """Return the parts of a dotted key, unquoted."""
    try:
        value: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    steps: list[str] = []
    while isinstance(value, dict):
        step, value = next(iter(value.items()))
        steps.append(step)
    return tuple(steps)
