"""`python -m benchmarks.gate`: fails where a request costs 15 % more than it did when the baseline was written.

What is compared is no time but a ratio: CPU a chat request to CPU of a piece of work that never changes, both measured
here, now, on the same core. `--write` writes the baseline anew; then the commit says why.
"""

import argparse
import os
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


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    measured, other = cores()
    found = ratios(measured, other)
    if options.write:
        BASELINE.write_bytes(json.dumps({name: round(value, 3) for name, value in found.items()}) + b"\n")
        return 0
    known: dict[str, float] = json.loads(BASELINE.read_bytes())
    is_worse = False
    for name, value in found.items():
        change = value / known[name]
        is_worse |= change > ALLOWED
        print(f"{name:28} {value:8.3f}, {100 * (change - 1):+.0f} % of the baseline (at most +15 %)")
    return int(is_worse)


def ratios(measured: int, other: int) -> dict[str, float]:
    """What requests cost, in units of the reference work."""
    with upstream(other) as port, gateway(port, measured) as process:
        os.sched_setaffinity(0, {measured})
        unit = min(reference() for _ in range(_ROUNDS))
        os.sched_setaffinity(0, {other})
        chat = _least(process, 4000)
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
