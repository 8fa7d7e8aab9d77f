"""`python -m benchmarks.gate`: fails where a request costs 15 % more than it did when the baseline was written.

What is compared is no time but a ratio: CPU a chat request to CPU of a piece of work that never changes, both measured
here, now, on the same core; for a streamed chunk, which is mostly the kernel's, that work is an echo over loopback. Kinds
of machines differ in what the kernel costs beside the other, so each has a baseline of its own, and one that has none is
told of and not judged. `--write` writes that of this kind; the commit says why.
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
from benchmarks.figures import streams, whole
from benchmarks.processes import Process, cores, gateway, upstream

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 1.15
# short ones: on a machine that is shared, some of them are left alone
_ROUNDS = 12
_SECOND_LOOKS = 3


def main() -> int:
    """Run the command line; returns the exit code."""
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
    for _ in range(_SECOND_LOOKS):  # what disturbs a machine only ever adds
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
    """The processor, what the kernel's release says beside its numbers, and Python's."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    words = [word for word in platform.release().split("-")[1:] if not re.match(r"v?[0-9]", word)]
    flavour = "-".join(words) or "plain"
    return f"{cpu or platform.machine()}, {flavour}, Python {'.'.join(platform.python_version_tuple()[:2])}"


def ratios(measured: int, other: int) -> dict[str, float]:
    """What requests cost, in units of the reference work, and chunks, in echoes."""
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
    made = figures.whole_call(process.port)
    return min(whole(process, made, 16, 500).cpu / 500 for _ in range(_ROUNDS))


def _chunk(process: Process) -> float:
    made = figures.stream_call(process.port, 2, 100)
    return min(streams(process, made, 64).cpu / 64 / 100 for _ in range(_ROUNDS))


def reference() -> float:
    """Seconds of CPU for a fixed piece of work of the kind that a gateway does: calls, dicts, text, JSON."""
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
    """Seconds of CPU for a message over loopback and back, both ends in this thread."""
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
