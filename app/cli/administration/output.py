"""Writes documents: as tables for people, as JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from app.cli.administration.client import Document
from app.wire import json

F = TypeVar("F", bound=Callable[..., Any])
_GAP = "  "


def json_option(command: F) -> F:
    """Add `--json`."""
    return click.option(
        "--json", "is_json", is_flag=True, help="Print JSON. The default where the output is not a terminal."
    )(command)


def write_list(documents: Iterable[Document], columns: Sequence[str], *, is_json: bool) -> None:
    """Write documents: columns of a table, or `{"data": [...]}` with all members."""
    if _wants_json(is_json):
        _write_json({"data": [*documents]})
        return
    rows = [[_cell(document.get(name)) for name in columns] for document in documents]
    headings = [name.replace("_", " ").upper() for name in columns]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        click.echo(_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_one(document: Document, *, is_json: bool) -> None:
    """Write a document: a line for each member, or JSON."""
    if _wants_json(is_json):
        _write_json(document)
        return
    width = max(map(len, document), default=0)
    for name, value in document.items():
        click.echo(f"{name:<{width}}  {_cell(value)}".rstrip())


@contextmanager
def new_secret_file(path: str) -> Iterator[Callable[[str], None]]:
    """Create a file that only this user can read. Yields the function that writes a line, which is then on the disk.

    A file without a line is deleted at the end.

    Raises:
        click.ClickException: the file exists, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None

    def write(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)

    try:
        yield write
    finally:
        if os.fstat(descriptor).st_size == 0:
            Path(path).unlink(missing_ok=True)
        os.close(descriptor)


def _wants_json(is_json: bool) -> bool:
    return is_json or not sys.stdout.isatty()


def _write_json(document: object) -> None:
    click.echo(msgspec.json.format(json.dumps(document), indent=2))


def _cell(value: object) -> str:
    """Return a value as text on one line. Callers choose some values, so control characters are left out."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, dict):
        members = [f"{name}={_cell(each)}" for name, each in value.items() if each not in (None, "", [], {})]
        return ", ".join(members) or "-"
    if isinstance(value, list):
        return "; ".join(map(_cell, value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(each if each.isprintable() else "?" for each in text)
