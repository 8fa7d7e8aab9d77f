"""`python -m benchmarks.gate [--base REVISION]`: fail if a request costs over 5 % more CPU than at the merge base.

Both trees serve on the same core, in turns, so the result does not depend on the machine. A pair is one process of each
tree; its ratio is that of their cheapest rounds, because disturbances only add cost. Processes of one program differ by
some percent, so the gate fails only if at least seven of eight pairs are above the bound. If the median of all pairs is at
the bound, that happens by chance in 3.5 % of the runs. A second pair within the bound ends the measurement.

The base is the merge base with `origin/main`, or the commit before on that branch itself.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import figures
from benchmarks.figures import run_requests, run_streams
from benchmarks.processes import ROOT, Process, cores, gateway, upstream

ALLOWED = 1.05
PAIRS = 8
_MAX_WITHIN = 1
_ROUNDS = 12
_REQUESTS = 150
_STREAMS, _CHUNKS = 64, 50
_REQUIREMENTS = "requirements.txt"

Ratios = dict[str, list[float]]


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--base", help="the revision to compare with")
    base = parser.parse_args().base or merge_base()
    if base is None:
        print("this checkout has no commit to compare with")
        return 0
    with checkout(base) as (folder, python):
        ratios = compare(folder, python)
    verdicts = [verdict(name, values) for name, values in ratios.items()]
    print(f"beside {base}:", *verdicts, sep="\n  ")
    return int(any(is_worse(values) for values in ratios.values()))


def is_worse(ratios: list[float]) -> bool:
    """Return whether all pairs were measured, and too few are within the bound."""
    return len(ratios) == PAIRS and _count_within(ratios) <= _MAX_WITHIN


def _count_within(ratios: list[float]) -> int:
    return sum(ratio <= ALLOWED for ratio in ratios)


def verdict(name: str, ratios: list[float]) -> str:
    """Describe the ratios of one kind of work."""
    measured = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    return f"{name}: {measured} times the CPU (fails if {PAIRS - _MAX_WITHIN} of {PAIRS} are above {ALLOWED})"


def merge_base(root: Path = ROOT) -> str | None:
    """Return the commit that this one is compared with, or None in a checkout without history."""
    head = _git("rev-parse", "HEAD", root=root).stdout
    shared = _git("merge-base", "HEAD", "origin/main", root=root).stdout
    base = shared if shared and shared != head else _git("rev-parse", "--verify", "HEAD~1", root=root).stdout
    return base.strip() or None


@contextlib.contextmanager
def checkout(revision: str, root: Path = ROOT) -> Iterator[tuple[Path, Path]]:
    """Check a revision out; yield its folder and the Python that has its packages."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "base"
        _git("worktree", "add", "--quiet", "--detach", str(folder), revision, root=root).check_returncode()
        try:
            yield folder, _python_for(folder, Path(scratch) / "venv", root)
        finally:
            _git("worktree", "remove", "--force", str(folder), root=root).check_returncode()


def _python_for(folder: Path, venv: Path, root: Path) -> Path:
    """Return this Python, unless the revision in `folder` needs other packages; those are installed into `venv`."""
    if (folder / _REQUIREMENTS).read_bytes() == (root / _REQUIREMENTS).read_bytes():
        return Path(sys.executable)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    requirements = str(folder / _REQUIREMENTS)
    install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements]
    subprocess.run(install, check=True)
    return python


def compare(base: Path, python: Path) -> Ratios:
    """Return the ratios of this tree's CPU to that of the base, by kind of work, one for each pair of processes."""
    measured, other = cores()
    os.sched_setaffinity(0, {other})
    costs = {"a chat request": _request, "a streamed chunk": _chunk}
    ratios: Ratios = {name: [] for name in costs}
    with upstream(other) as port:
        while undecided := [name for name, values in ratios.items() if is_undecided(values)]:
            with gateway(port, measured) as ours, gateway(port, measured, root=base, python=python) as theirs:
                for name in undecided:
                    ratios[name].append(_ratio(costs[name], ours, theirs))
    return ratios


def is_undecided(ratios: list[float]) -> bool:
    """Return whether another pair could change the verdict."""
    return len(ratios) < PAIRS and _count_within(ratios) <= _MAX_WITHIN


def _ratio(cost: Callable[[Process], float], ours: Process, theirs: Process) -> float:
    costs: dict[Process, list[float]] = {ours: [], theirs: []}
    for number in range(_ROUNDS):
        for process in (ours, theirs) if number % 2 else (theirs, ours):
            costs[process].append(cost(process))
    return min(costs[ours]) / min(costs[theirs])


def _request(process: Process) -> float:
    """Return the CPU of a chat request. Raises AssertionError: a request failed."""
    load = run_requests(process, figures.complete_call(process.port), 16, _REQUESTS)
    if load.faults:
        raise AssertionError(f"{load.faults} requests failed")
    return load.cpu_us


def _chunk(process: Process) -> float:
    """Return the CPU of a chunk of a stream. Raises AssertionError: a stream failed."""
    load = run_streams(process, figures.stream_call(process.port, 2, _CHUNKS), _STREAMS)
    if load.faults:
        raise AssertionError(f"{load.faults} streams failed")
    return load.cpu / _STREAMS / _CHUNKS * 1e6


def _git(*arguments: str, root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607


if __name__ == "__main__":
    sys.exit(main())
