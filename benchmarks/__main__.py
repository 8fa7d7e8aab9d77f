"""`python -m benchmarks`: measure and print every row; --keep writes the results into docs/benchmarks.

--peers also measures the installed peers, in the same run and on the same cores:

- nginx as a plain proxy
- LiteLLM: `--litellm PYTHON`, the Python of an environment with `litellm[proxy]`
- Portkey: `--portkey FOLDER`, into which npm installed `@portkey-ai/gateway`
"""

import argparse
import datetime
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.wire import json
from benchmarks import peers, table
from benchmarks.governed import governed
from benchmarks.page import write_page
from benchmarks.processes import ROOT, cores, gateway, relay, upstream
from benchmarks.stages import stages
from benchmarks.table import Row
from tests.databases import running_postgres

# to a collector that does not answer
_TRACING = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}
FOLDER = ROOT / "docs" / "benchmarks"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--portkey", type=Path)
    parser.add_argument("--keep", action="store_true", help="write docs/benchmarks")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    measured, other = cores()
    os.sched_setaffinity(0, {other})
    rows = [*print_rows(run(measured, other))]
    with upstream(other) as port:
        profile = stages(port, measured)
    for kind, parts in profile.items():
        print(f"  {kind}: {', '.join(f'{stage} {cost:.1f} us' for stage, cost in parts.items())}")
    peer_results: list[dict[str, Any]] = []
    if options.peers:
        peer_results = [*peers.compare(measured, other, options.litellm, options.portkey)]
        for each in peer_results:
            print(
                f"  {each['name']:12} {each['cpu_us']:9.0f} us a request  {each['chunk_us']:6.0f} us a chunk  "
                f"{each['memory']:6.0f} MiB  {each['version']}"
            )
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "load": load,
        "versions": {
            name: version(name) for name in ("uvicorn", "fastapi", "httptools", "uvloop", "msgspec", "pydantic")
        },
        "rows": [row.as_json() for row in rows],
        "stages": profile,
        "peers": peer_results,
    }
    if options.keep:
        FOLDER.mkdir(parents=True, exist_ok=True)
        if not peer_results:
            result |= _kept_peers()
        (FOLDER / "latest.json").write_bytes(json.dumps(result))
        write_page(FOLDER, result)
    missed = [row.name for row in rows if row.verdict == "misses"]
    print(f"misses: {', '.join(missed) or 'nothing'}")


def _kept_peers() -> dict[str, Any]:
    """Return the peers of the page as it is, with when and where they were measured."""
    kept: dict[str, Any] = json.loads((FOLDER / "latest.json").read_bytes())
    measured = kept.get("peers_measured") or {name: kept[name] for name in ("date", "machine")}
    return {"peers": kept["peers"], "peers_measured": measured}


def run(measured: int, other: int) -> Iterator[Row]:
    """Measure all rows of Outcrop."""
    with upstream(other) as port:
        yield from table.ceiling(port)
        with (
            gateway(port, measured) as process,
            running_postgres() as server,
            governed(port, measured, server, knows_quota=True, **_TRACING) as everything,
            relay(port, measured) as proxy,
            gateway(port, measured, "benchmarks.prototype") as prototype,
        ):
            yield Row("start to first 200", "s", process.seconds_to_200, 0.6)
            yield Row("idle memory", "MiB", process.memory(), 60, 45)
            with governed(port, measured, server, knows_quota=False) as (with_database, _):
                yield Row("start to first 200 with a database", "s", with_database.seconds_to_200, 1.0)
                yield Row("idle memory with a database", "MiB", with_database.memory(), 75)
            yield Row("idle memory with everything on", "MiB", everything[0].memory())
            yield from table.costs(process, proxy, prototype, everything, port)
        with gateway(port, measured) as process:
            yield from table.slow_streams(process)
        with gateway(port, measured) as process:
            yield from table.growth(process)


def print_rows(rows: Iterator[Row]) -> Iterator[Row]:
    """Print each row when it is measured, and pass it on."""
    print(machine())
    for row in rows:
        bound = f"must {'>=' if row.is_rate else '<='} {row.must:g}" if row.must is not None else ""
        print(f"  {row.name:66} {row.value:10.2f} {row.unit:4} {bound:16} {row.verdict}", flush=True)
        yield row


def machine() -> str:
    """Return the processor, the number of cores, the kernel and the version of Python."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    return f"{cpu or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
