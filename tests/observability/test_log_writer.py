"""The log's way out, with a pipe that nobody reads behind it."""

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
    """The end at which it is read. No fixture: pytest gives each phase of a test a stderr of its own."""
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
def test_what_nobody_reads_is_lost_and_counted(size: int) -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        for number in range(1000):
            log_writer.write(line(number, size))
        data = read(pipe)
        log_writer.write(line(1000, size))
        *told, lost, last = map(json.loads, (data + read(pipe)).splitlines())
    assert [each["number"] for each in told] == list(range(len(told)))
    assert 0 < len(told) < 1000
    assert (lost["lines"], last["number"]) == (1000 - len(told), 1000)


async def test_what_is_said_in_one_turn_of_the_loop_goes_out_in_few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
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
        await asyncio.sleep(0)
        log_writer.write_soon(line(20).encode())
        log_writer.write(line(21))  # who cannot wait takes the others along
        log_writer.write_soon(line(22).encode())
        logging.shutdown([lambda: logging.StreamHandler(log_writer)])
        assert [json.loads(each)["number"] for each in read(pipe).splitlines()] == list(range(23))
    pieces = [piece for piece in pieces if piece]
    assert len(pieces) < 10
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)


def test_without_a_loop_nothing_waits() -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        log_writer.write_soon(line(1).encode())
        assert read(pipe)


def test_a_reader_who_went_away_is_no_fault() -> None:
    log_writer = NonBlockingLogWriter()
    with stderr_into_a_pipe() as pipe:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, pipe)
        os.close(nothing)
        log_writer.write(line(1))
    with stderr_into_a_pipe() as pipe:
        log_writer.write(line(2))
        lost, last = map(json.loads, read(pipe).splitlines())
    assert (lost["lines"], last["number"]) == (1, 2)


def test_what_the_collector_tells_in_the_middle_of_a_line_comes_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_stderr_without_a_file_is_written_to_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    own = io.StringIO()
    monkeypatch.setattr(sys, "stderr", own)
    NonBlockingLogWriter().write("x\n")
    assert own.getvalue() == "x\n"
    monkeypatch.setattr(sys, "stderr", None)
    NonBlockingLogWriter().write("x\n")
