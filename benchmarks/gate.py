"""`python -m benchmarks.gate`: fails where a request costs 15 % more than it did when the baseline was written.

What is compared is no time but a ratio: CPU a chat request to CPU of a piece of work that never changes, both measured
here, now, on the same core. Kinds of machines differ in what the kernel costs beside that work, so each has a baseline
of its own, and one that has none is told of and not judged. `--write` writes that of this kind; the commit says why.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

from app.kit import json
from benchmarks import figures
from benchmarks.figures import streams, whole
from benchmarks.processes import Process, cores, gateway, upstream

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 1.15
_ROUNDS = 5
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
    """The processor, the kernel's release without its own number, and Python's."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    flavour = platform.release().partition("-")[2].rpartition("-")[0] or platform.release()
    return f"{cpu or platform.machine()}, {flavour}, Python {'.'.join(platform.python_version_tuple()[:2])}"


def ratios(measured: int, other: int) -> dict[str, float]:
    """What requests cost, in units of the reference work."""
    with upstream(other) as port, gateway(port, measured) as process:
        os.sched_setaffinity(0, {measured})
        unit = min(reference() for _ in range(_ROUNDS))
        os.sched_setaffinity(0, {other})
        chat = _least(process, 2000)
        chunk = min(
            streams(process, figures.stream_call(process.port, 5, 100), 64).cpu / 64 / 100 for _ in range(_ROUNDS)
        )
        os.sched_setaffinity(0, {measured})
        unit = min(unit, *(reference() for _ in range(_ROUNDS)))
    return {"a chat request": chat / unit, "a streamed chunk": chunk / unit}


def _least(process: Process, total: int) -> float:
    made = figures.whole_call(process.port)
    return min(whole(process, made, 16, total).cpu / total for _ in range(_ROUNDS))


def reference() -> float:
    """Seconds of CPU for a fixed piece of work of the kind that a gateway does: calls, dicts, text, JSON."""
    started = time.thread_time()
    for number in range(300):
        document = {"model": "m", "messages": [{"role": "user", "content": f"text {place}"} for place in range(20)]}
        for message in document["messages"]:
            if isinstance(message, dict):
                message["content"] = " ".join(reversed(message["content"].split()))
        if json.loads(json.dumps(document))["model"] != "m" or number < 0:
            raise AssertionError
    return (time.thread_time() - started) / 300


if __name__ == "__main__":
    sys.exit(main())
