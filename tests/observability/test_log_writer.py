"""The log writer, with stderr as a pipe that is not read."""

import asyncio
import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator

import pytest

from app.observability import log_writer as log_writer_module
from app.observability.log_writer import NonBlockingLogWriter


@contextlib.contextmanager
def stderr_into_a_pipe() -> Iterator[int]:
    """Yield the read end. Not a fixture: pytest replaces stderr for each phase of a test."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stderr, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "stderr", stderr)
        yield reading
    os.close(reading)


def read(pipe: int) -> bytes:
    os.set_blocking(pipe, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(pipe, 1 << 20):
            data += piece
    return data


def line(number: int, size: int = 300) -> str:
    return json.dumps({"number": number, "x": "ü" * size}, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("size", [300, 9000])
def test_lines_for_a_full_pipe_are_dropped_and_counted(size: int) -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        for number in range(1000):
            log_writer.write(line(number, size))
        data = read(pipe)
        log_writer.write(line(1000, size))
        *written, dropped, last = map(json.loads, (data + read(pipe)).splitlines())
    assert [each["number"] for each in written] == list(range(len(written)))
    assert 0 < len(written) < 1000
    assert (dropped["lines"], last["number"]) == (1000 - len(written), 1000)


async def test_lines_that_follow_each_other_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    log_writer, pieces = NonBlockingLogWriter(), []
    whole = log_writer_module._written

    def written(file: int, data: bytes) -> bytes:
        pieces.append(data)
        return whole(file, data)

    monkeypatch.setattr(log_writer_module, "_written", written)
    with stderr_into_a_pipe() as pipe:
        for number in range(20):
            log_writer.write_soon(line(number, 100).encode())
        assert read(pipe) == b""
        await asyncio.sleep(2 * log_writer_module._GATHER_SECONDS)
        assert [json.loads(each)["number"] for each in read(pipe).splitlines()] == list(range(20))
        log_writer.write_soon(line(20).encode())
        log_writer.write(line(21))  # writes the pending lines too
        log_writer.write_soon(line(22).encode())
        logging.shutdown([lambda: logging.StreamHandler(log_writer)])
        assert [json.loads(each)["number"] for each in read(pipe).splitlines()] == [20, 21, 22]
    pieces = [piece for piece in pieces if piece]
    assert len(pieces) < 10
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)


def test_without_a_running_loop_a_line_is_written_at_once() -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        log_writer.write_soon(line(1).encode())
        assert read(pipe)


def test_a_closed_pipe_is_no_error() -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, pipe)
        os.close(nothing)
        log_writer.write(line(1))
    with stderr_into_a_pipe() as pipe:
        log_writer.write(line(2))
        dropped, last = map(json.loads, read(pipe).splitlines())
    assert (dropped["lines"], last["number"]) == (1, 2)


def test_a_line_from_a_finalizer_follows_the_line_that_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    log_writer = NonBlockingLogWriter()
    whole = log_writer_module._written

    def written(file: int, data: bytes) -> bytes:
        if b"1" in data:
            log_writer.write(line(2))
        return whole(file, data)

    monkeypatch.setattr(log_writer_module, "_written", written)
    with stderr_into_a_pipe() as pipe:
        log_writer.write(line(1))
        assert [json.loads(each)["number"] for each in read(pipe).splitlines()] == [1, 2]


def test_a_stderr_without_a_descriptor_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stderr", own)
    NonBlockingLogWriter().write("x\n")
    assert own.getvalue() == "x\n"
    monkeypatch.setattr(sys, "stderr", None)
    NonBlockingLogWriter().write("x\n")
