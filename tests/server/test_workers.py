"""The supervisor of worker processes, with a program simpler than a gateway in them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.waits

_PROGRAM = """
import os, pathlib, signal, socket, sys, time
from app.server import workers
from app.observability.logs import configure_logging

folder = pathlib.Path(sys.argv[1])
workers._START_SECONDS = 20 if (folder / "fail").exists() else 0.4
workers._KILL_AFTER_SECONDS = 0.2
configure_logging("INFO")

def serve(listener, worker_context):
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
sys.exit(workers.WorkerSupervisor(int(sys.argv[2]), socket.socket, 0.3, serve).run())
"""


class Supervised:
    """A supervisor and its workers."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        command = [sys.executable, "-c", _PROGRAM, str(folder), str(count)]
        self.supervisor = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def begun(self) -> set[int]:
        """Return the pids of all workers that have ever begun to serve."""
        return {int(file.name) for file in self._folder.iterdir() if file.name.isdigit()}

    def alive(self) -> set[int]:
        """Return the pids of the workers that are alive."""
        return {pid for pid in self.begun() if _is_alive(pid)}


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[int], Supervised]]:
    made: list[Supervised] = []

    def make(count: int) -> Supervised:
        made.append(Supervised(tmp_path, count))
        return made[-1]

    yield make
    for each in made:
        for pid in each.alive():
            os.kill(pid, signal.SIGKILL)
        each.supervisor.kill()
        each.supervisor.communicate()


@pytest.mark.timed
def test_workers_that_die_are_replaced_at_once(supervised: Callable[[int], Supervised]) -> None:
    several = supervised(4)
    wait_until(lambda: len(several.begun()) == 4)
    started = time.monotonic()
    for pid in several.begun():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(several.begun()) == 8)
    assert time.monotonic() - started < 1.5
    several.supervisor.send_signal(signal.SIGTERM)
    assert several.supervisor.wait(30) == 0
    assert not several.alive()


def test_a_replacement_that_cannot_start_does_not_stop_the_other_workers(
    supervised: Callable[[int], Supervised], tmp_path: Path
) -> None:
    several = supervised(2)
    wait_until(lambda: len(several.begun()) == 2)
    time.sleep(0.5)
    (tmp_path / "fail").touch()
    victim, healthy = several.begun()
    os.kill(victim, signal.SIGKILL)
    time.sleep(1.2)
    assert several.alive() == {healthy}
    assert several.supervisor.poll() is None
    (tmp_path / "fail").unlink()
    wait_until(lambda: len(several.alive()) == 2)


def test_a_worker_that_cannot_start_at_first_ends_the_supervisor(
    supervised: Callable[[int], Supervised], tmp_path: Path
) -> None:
    (tmp_path / "fail").touch()
    assert supervised(3).supervisor.wait(30) == 3


def test_a_failed_fork_is_tried_again(supervised: Callable[[int], Supervised], tmp_path: Path) -> None:
    (tmp_path / "no fork").touch()
    several = supervised(2)
    wait_until(lambda: len(several.alive()) == 2)
    several.supervisor.send_signal(signal.SIGINT)
    _, said = several.supervisor.communicate(timeout=30)
    assert said.count("cannot start a worker process") == 2


def test_a_worker_that_does_not_stop_is_killed(supervised: Callable[[int], Supervised], tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    several = supervised(2)
    wait_until(lambda: len(several.begun()) == 2)
    started = time.monotonic()
    several.supervisor.send_signal(signal.SIGTERM)
    assert several.supervisor.wait(30) == 0
    assert time.monotonic() - started > 0.4
    assert not several.alive()


@pytest.mark.parametrize("index", range(6))
def test_the_supervisor_stops_at_any_moment_of_its_start(supervised: Callable[[int], Supervised], index: int) -> None:
    several = supervised(3)
    wait_until(lambda: bool(several.begun()))
    time.sleep(index * 0.002)
    several.supervisor.send_signal(signal.SIGTERM)
    assert several.supervisor.wait(30) == 0
    assert not several.alive()
