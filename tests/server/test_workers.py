"""Forked processes and who watches over them, with something simpler than a gateway in them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.waits

_PROGRAM = """
import os, pathlib, signal, socket, sys, time
from app.server import workers
from app.observability.logs import configure_logging

workers._START_SECONDS, workers._LAST_SECONDS = 0.4, 0.2
folder = pathlib.Path(sys.argv[1])
configure_logging("INFO")

def serve(listener, share):
    if (folder / "fail").exists():
        return 3
    if (folder / "stubborn").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / f"{os.getpid()}").touch()
    signal.pause()
    return 0

if (folder / "no fork").exists():
    fork, times = os.fork, iter([OSError(11, "no"), OSError(11, "no")])
    def fail_first():
        for error in times:
            raise error
        return fork()
    os.fork = fail_first
sys.exit(workers.Processes(int(sys.argv[2]), socket.socket, 0.3, serve).run())
"""


class Watched:
    """A watcher, and the processes that it has forked so far."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        command = [sys.executable, "-c", _PROGRAM, str(folder), str(count)]
        self.watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def begun(self) -> set[int]:
        """All that have ever begun to serve."""
        return {int(file.name) for file in self._folder.iterdir() if file.name.isdigit()}

    def alive(self) -> set[int]:
        """Those that still do."""
        return {pid for pid in self.begun() if _is_alive(pid)}


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[[int], Watched]]:
    made: list[Watched] = []

    def make(count: int) -> Watched:
        made.append(Watched(tmp_path, count))
        return made[-1]

    yield make
    for each in made:
        for pid in each.alive():
            os.kill(pid, signal.SIGKILL)
        each.watcher.kill()
        each.watcher.communicate()


def test_all_who_die_at_once_are_replaced_at_once(watched: Callable[[int], Watched]) -> None:
    several = watched(4)
    until(lambda: len(several.begun()) == 4)
    started = time.monotonic()
    for pid in several.begun():
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(several.begun()) == 8)
    assert time.monotonic() - started < 1.5
    several.watcher.send_signal(signal.SIGTERM)
    assert several.watcher.wait(5) == 0
    assert not several.alive()


def test_a_successor_that_cannot_start_ends_nobody_else(watched: Callable[[int], Watched], tmp_path: Path) -> None:
    several = watched(2)
    until(lambda: len(several.begun()) == 2)
    time.sleep(0.5)
    (tmp_path / "fail").touch()
    victim, healthy = several.begun()
    os.kill(victim, signal.SIGKILL)
    time.sleep(1.2)
    assert several.alive() == {healthy}
    assert several.watcher.poll() is None
    (tmp_path / "fail").unlink()
    until(lambda: len(several.alive()) == 2)


def test_who_cannot_start_at_first_ends_all(watched: Callable[[int], Watched], tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    assert watched(3).watcher.wait(5) == 3


def test_where_no_process_can_be_made_it_is_tried_again(watched: Callable[[int], Watched], tmp_path: Path) -> None:
    (tmp_path / "no fork").touch()
    several = watched(2)
    until(lambda: len(several.alive()) == 2)
    several.watcher.send_signal(signal.SIGINT)
    _, said = several.watcher.communicate(timeout=5)
    assert said.count("no process can be made") == 2


def test_who_does_not_end_is_killed(watched: Callable[[int], Watched], tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    several = watched(2)
    until(lambda: len(several.begun()) == 2)
    started = time.monotonic()
    several.watcher.send_signal(signal.SIGTERM)
    assert several.watcher.wait(5) == 0
    assert 0.4 < time.monotonic() - started < 3
    assert not several.alive()


@pytest.mark.parametrize("index", range(6))
def test_it_ends_whenever_it_is_told_to(watched: Callable[[int], Watched], index: int) -> None:
    several = watched(3)
    until(lambda: bool(several.begun()))
    time.sleep(index * 0.002)
    several.watcher.send_signal(signal.SIGTERM)
    assert several.watcher.wait(5) == 0
    assert not several.alive()
