"""The CPU of a request by stage.

`python -m benchmarks.stages FILE` serves like `python -m app`, and samples after SIGUSR1: a timer of CPU time interrupts
the process, and the innermost frame that belongs to a stage is counted. The kernel's work for a socket counts for the
stage that writes to it or reads from it.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from app.cli.serve import serve as serve_gateway
from app.wire import json
from benchmarks import figures
from benchmarks.figures import Load, run_requests, run_streams
from benchmarks.processes import Process, gateway

_SECONDS = 0.001
LOOP = "event loop and kernel"
# by prefix of the module name; the first match counts
STAGES = {
    "app.server": "HTTP with the caller",
    "uvicorn.": "HTTP with the caller",
    "app.dialects.http.middleware": "log, metrics, trace",
    "app.observability": "log, metrics, trace",
    "logging": "log, metrics, trace",
    "app.governance": "authentication and limits",
    "app.dialects.http.endpoint": "endpoint: body, permit, response",
    "app.dialects.http.request_body": "endpoint: body, permit, response",
    "app.dialects.http.response_sender": "endpoint: body, permit, response",
    "app.dialects": "translation",
    "app.converse": "translation",
    "app.adaptation": "adaptation to the model",
    "app.models": "adaptation to the model",
    "app.routing": "executor, routing, retries",
    "app.execution": "executor, routing, retries",
    "app.bedrock.signing": "signing",
    "app.bedrock.credentials": "signing",
    "app.wire.sigv4": "signing",
    "app.bedrock": "HTTP with Bedrock",
    "starlette.": "endpoint: body, permit, response",
    "fastapi.": "endpoint: body, permit, response",
}


def stage_of(module: str) -> str | None:
    """Return the stage of a module. Shared codecs have none: their cost belongs to the caller."""
    return next((stage for start, stage in STAGES.items() if module.startswith(start)), None)


def count_stages(counts: Counter[str]) -> None:
    """Count the current stage after each millisecond of CPU."""

    def sample(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            stage = stage_of(frame.f_globals.get("__name__", ""))
            if stage is not None:
                counts[stage] += 1
                return
            frame = frame.f_back
        counts[LOOP] += 1

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)


def stages(upstream: int, core: int) -> dict[str, dict[str, float]]:
    """Return the microseconds of CPU per stage of a chat request, of a request in mode native, and of a streamed chunk."""
    return {
        "a chat request": _stages(
            upstream, core, lambda process: run_requests(process, figures.complete_call(process.port), total=20_000)
        ),
        "a request in mode native": _stages(
            upstream, core, lambda process: run_requests(process, figures.native_call(process.port), total=20_000)
        ),
        "a streamed chunk": _stages(
            upstream, core, lambda process: run_streams(process, figures.stream_call(process.port, 5, 1000), 64), 1000
        ),
    }


def _stages(upstream: int, core: int, run: Callable[[Process], Load], parts: int = 1) -> dict[str, float]:
    """Return the stages of the requests that `run` sends. parts: number of chunks of a response."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "stages.json"
        with gateway(upstream, core, "benchmarks.stages", str(file)) as process:
            os.kill(process.pid, signal.SIGUSR1)
            time.sleep(0.1)
            load = run(process)
        counts: dict[str, int] = json.loads(file.read_bytes())
    each = load.cpu / len(load.answers) / parts * 1e6 / sum(counts.values())
    return {stage: count * each for stage, count in sorted(counts.items(), key=lambda item: -item[1])}


def serve(file: Path) -> int:
    """Serve until SIGTERM, write the counts, and return the exit code."""
    counts: Counter[str] = Counter()

    def begin(*_: object) -> None:
        counts.clear()
        count_stages(counts)

    signal.signal(signal.SIGUSR1, begin)
    try:
        return serve_gateway()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        file.write_bytes(json.dumps(dict(counts)))


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1])))
