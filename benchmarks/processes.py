"""Starts processes pinned to a core, and reads the CPU and memory that they use."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.emulator.keys import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[1]
KEY = "bench-secret-of-24-letters"
MODEL = "bench.complete"
# the model of mode `native` has a price, so its requests have a cost that is logged: the others must have one, too
PRICES = f'[prices."{MODEL}"]\ninput = 1.0\noutput = 5.0\n'


def cores() -> tuple[int, int]:
    """Return the core of the measured process, and the core of everything else."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("two cores are needed: one for the measured process, one for everything else")
    return allowed[0], allowed[1]


def _cpu_clock(pid: int) -> int:
    """Return the CPU clock of a process (clock_getcpuclockid(3)); /proc counts only in steps of 10 ms."""
    return ~pid << 3 | 2


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Process:
    """A process and its port. seconds_to_200: from its start to its first response."""

    pid: int
    port: int
    seconds_to_200: float = 0.0

    def pids(self) -> list[int]:
        """Return the ids of the process and of all its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        found, pending = [], [self.pid]
        while pending:
            pid = pending.pop()
            found.append(pid)
            pending += children.get(pid, ())
        return found

    def cpu(self) -> float:
        """Return the CPU seconds of the process with all its threads and descendants."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += time.clock_gettime(_cpu_clock(pid))
        return total

    def forget_peak(self) -> None:
        """Reset the peak that `memory("VmHWM")` returns (proc(5), clear_refs)."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory(self, name: str = "VmRSS") -> float:
        """Return a memory field of /proc/PID/status in MiB, summed over the descendants."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                total += int(status.partition(f"{name}:")[2].split()[0]) / 1024
        return total


@contextlib.contextmanager
def running(
    command: list[str],
    port: int,
    core: int,
    path: str = "/",
    environment: dict[str, str] | None = None,
    root: Path = ROOT,
) -> Iterator[Process]:
    """Start a process in the folder `root`, with a pipe for its log; yield it once `path` on its port responds."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    log = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S607
    started = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],  # noqa: S607
        cwd=root,
        env={**known, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=log.stdin,
    )
    try:
        _wait(process, port, path)
        yield Process(process.pid, port, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.communicate()


def _wait(process: "subprocess.Popen[bytes]", port: int, path: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return
        time.sleep(0.01)
    raise SystemExit(f"{command_line_of(process)} did not answer within two minutes")


def command_line_of(process: "subprocess.Popen[bytes]") -> str:
    """Return the command line of a process."""
    return " ".join(map(str, process.args)) if isinstance(process.args, list) else str(process.args)


@contextlib.contextmanager
def upstream(core: int) -> Iterator[int]:
    """Run the benchmark upstream; yield its port."""
    port = free_port()
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.upstream", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def gateway(
    upstream_port: int,
    core: int,
    *program: str,
    root: Path = ROOT,
    python: Path = Path(sys.executable),
    **settings: str,
) -> Iterator[Process]:
    """Run a gateway, or another program that serves it, with keys, limits, prices, metrics, log, retries and timeouts.

    Args:
        root: the checkout whose program runs. python: an interpreter with its packages.
    """
    port = free_port()
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{upstream_port}",
        "BEDROCK_MODEL_ID": MODEL,
        "API_KEYS": f"bench={KEY}",
        "PORT": str(port),
        "MAX_IN_FLIGHT": "20000",
        "CONFIG_TOML": PRICES,
        **settings,
    }
    command = [str(python), "-m", *(program or ("app",))]
    with running(command, port, core, "/health/ready", environment, root) as process:
        yield process


@contextlib.contextmanager
def relay(upstream_port: int, core: int) -> Iterator[Process]:
    """Run the byte-for-byte proxy."""
    port = free_port()
    with running([sys.executable, "-m", "benchmarks.relay", str(port), str(upstream_port)], port, core) as process:
        yield process
