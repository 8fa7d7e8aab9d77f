"""`python -m benchmarks.gate`: fail if a request costs 15 % more than when the baseline was written.

It compares ratios, not times: the CPU of a chat request relative to that of a fixed piece of work, and the CPU of a
streamed chunk, which is mostly the kernel's, relative to that of an echo over loopback. All are measured in this run on
the same core. Each kind of machine has its own baseline, because the relative cost of the kernel differs; without a
baseline the ratios are only printed. `--write` writes the baseline of this kind; give the reason in the commit.
"""

import argparse
import asyncio
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

from app.wire import json
from benchmarks import figures
from benchmarks.figures import run_requests, run_streams
from benchmarks.processes import Process, cores, gateway, upstream

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 1.15
# short rounds: on a shared machine some of them run undisturbed
_ROUNDS = 12
_MORE_MEASUREMENTS = 3


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    measured, other = cores()
    found, kind = ratios(measured, other), kind_of_machine()
    baselines: dict[str, dict[str, float]] = json.loads(BASELINE.read_bytes())
    if options.write:
        baselines[kind] = {name: round(value, 3) for name, value in found.items()}
        BASELINE.write_bytes(json.dumps(dict(sorted(baselines.items()))) + b"\n")
        return 0
    if kind not in baselines:
        print(f"{kind} has no baseline: {', '.join(f'{name} {value:.3f}' for name, value in found.items())}")
        return 0
    for _ in range(_MORE_MEASUREMENTS):  # disturbances only add cost
        if all(value <= ALLOWED * baselines[kind][name] for name, value in found.items()):
            break
        again = ratios(measured, other)
        found = {name: min(value, again[name]) for name, value in found.items()}
    is_worse = False
    for name, value in found.items():
        change = value / baselines[kind][name]
        is_worse |= change > ALLOWED
        print(f"{name:28} {value:8.3f}, {100 * (change - 1):+.0f} % of the baseline (at most +15 %)")
    return int(is_worse)


def kind_of_machine() -> str:
    """Return the processor, the words of the kernel release without its numbers, and the version of Python."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    words = [word for word in platform.release().split("-")[1:] if not re.match(r"v?[0-9]", word)]
    flavour = "-".join(words) or "plain"
    return f"{cpu or platform.machine()}, {flavour}, Python {'.'.join(platform.python_version_tuple()[:2])}"


def ratios(measured: int, other: int) -> dict[str, float]:
    """Return the cost of a request in units of the reference work, and of a chunk in echoes."""
    with upstream(other) as port, gateway(port, measured) as process:
        work, echo = _references(measured)
        os.sched_setaffinity(0, {other})
        chat, chunk = _chat(process), _chunk(process)
        work_after, echo_after = _references(measured)
    return {"a chat request": chat / min(work, work_after), "a streamed chunk": chunk / min(echo, echo_after)}


def _references(core: int) -> tuple[float, float]:
    os.sched_setaffinity(0, {core})
    return min(reference() for _ in range(_ROUNDS)), min(uvloop.run(echo()) for _ in range(_ROUNDS))


def _chat(process: Process) -> float:
    made = figures.complete_call(process.port)
    return min(run_requests(process, made, 16, 500).cpu / 500 for _ in range(_ROUNDS))


def _chunk(process: Process) -> float:
    made = figures.stream_call(process.port, 2, 100)
    return min(run_streams(process, made, 64).cpu / 64 / 100 for _ in range(_ROUNDS))


def reference() -> float:
    """Return the CPU seconds of a fixed piece of work that resembles a gateway's: calls, dicts, text, JSON."""
    started = time.thread_time()
    for number in range(300):
        document = {"model": "m", "messages": [{"role": "user", "content": f"text {index}"} for index in range(20)]}
        for message in document["messages"]:
            if isinstance(message, dict):
                message["content"] = " ".join(reversed(message["content"].split()))
        if json.loads(json.dumps(document))["model"] != "m" or number < 0:
            raise AssertionError
    return (time.thread_time() - started) / 300


async def echo(count: int = 2000, size: int = 300) -> float:
    """Return the CPU seconds of a message over loopback and back, with both ends in this thread."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Echo, "127.0.0.1", 0)
    caller = _Caller(bytes(size), count, is_over := loop.create_future())
    async with server:
        started = time.thread_time()
        transport, _ = await loop.create_connection(lambda: caller, *server.sockets[0].getsockname())
        await is_over
        used = time.thread_time() - started
        transport.close()
    return used / count


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Caller(_Echo):
    def __init__(self, message: bytes, count: int, is_over: asyncio.Future[None]) -> None:
        self._message, self._left, self._is_over = message, count, is_over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport.write(self._message)

    def data_received(self, _: bytes) -> None:
        self._left -= 1
        if self._left:
            self._transport.write(self._message)
        elif not self._is_over.done():
            self._is_over.set_result(None)


if __name__ == "__main__":
    sys.exit(main())
