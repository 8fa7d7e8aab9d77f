"""The rows of the benchmark table, with their bounds."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks import figures
from benchmarks.figures import Load, bedrock_call, bedrock_stream_call, measure, run_requests, run_streams
from benchmarks.load import Call, at_once, call, repeat
from benchmarks.processes import KEY, Process

_TURNS = 7
_ROUNDS, _REQUESTS = 6, 2000


@dataclass(frozen=True, slots=True)
class Row:
    """A measured value. must, aim: upper bounds; lower bounds if `is_rate`."""

    name: str
    unit: str
    value: float
    must: float | None = None
    aim: float | None = None
    is_rate: bool = False

    @property
    def verdict(self) -> str:
        """Whether the value is within its bound: "holds" or "misses"; empty without a bound."""
        if self.must is None:
            return ""
        is_better = self.value >= self.must if self.is_rate else self.value <= self.must
        return "holds" if is_better else "misses"

    def as_json(self) -> dict[str, Any]:
        """Return the row for the file of results."""
        return {**asdict(self), "verdict": self.verdict}


def best(runs: int, run: Callable[[], Load]) -> Load:
    """Return the cheapest of several runs, because disturbances only add cost."""
    return min((run() for _ in range(runs)), key=lambda load: load.cpu)


def ceiling(upstream: int) -> Iterator[Row]:
    """Measure the upstream and the load generator without a gateway between them."""
    load = measure(None, repeat(bedrock_call(upstream), upstream, 16, 20_000))
    yield Row("load generator without a gateway: requests per second", "1/s", load.rate)
    slow = bedrock_stream_call(upstream, 100, 50)
    load = measure(None, at_once(slow, upstream, 1000, 1.0))
    yield Row("load generator without a gateway: 1,000 slow streams, p99 gap", "ms", load.gap_ms(0.99))
    load = measure(None, at_once(slow, upstream, 5000, 4.0))
    yield Row("load generator without a gateway: 5,000 slow streams, p99 gap", "ms", load.gap_ms(0.99))


def costs(
    gateway: Process, relay: Process, prototype: Process, governed: tuple[Process, Call], upstream: int
) -> Iterator[Row]:
    """Measure requests through the gateway, one with everything on, the reference prototype and a byte-for-byte proxy.

    Their turns alternate, because other work on the machine varies over time.
    """
    port = gateway.port
    calls = {
        "prototype": (prototype, figures.complete_call(prototype.port)),
        "proxy": (relay, bedrock_call(relay.port)),
        "chat": (gateway, figures.complete_call(port)),
        "everything": governed,
        "native": (gateway, figures.native_call(port)),
        "passthrough": (gateway, figures.passthrough_call(port)),
    }
    loads: dict[str, list[Load]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, called in calls.items():
            loads[name].append(run_requests(*called, total=_REQUESTS))
    cost = {name: min(load.cpu_us for load in each) for name, each in loads.items()}
    yield Row("reference prototype, CPU per chat request", "us", cost["prototype"])
    yield Row("byte-for-byte proxy, CPU per request", "us", cost["proxy"])
    yield Row("CPU per chat request, 1.6 KB", "us", cost["chat"])
    yield Row("chat request relative to the reference prototype", "", cost["chat"] / cost["prototype"], 2.0, 1.6)
    yield Row("CPU per chat request with everything on", "us", cost["everything"])
    yield Row("the same relative to the reference prototype", "", cost["everything"] / cost["prototype"], 2.3, 1.8)
    yield Row("mode native, CPU per request", "us", cost["native"])
    yield Row("mode native, request relative to translated", "", cost["native"] / cost["chat"], 0.8)
    yield Row("mode passthrough, CPU per request", "us", cost["passthrough"])
    yield Row("mode passthrough, request relative to translated", "", cost["passthrough"] / cost["chat"], 0.75)
    yield from _chunks(gateway, relay, prototype)
    image = best(2, lambda: run_requests(gateway, figures.image_call(port), 4, 600))
    yield Row("1 MB image requests per second", "1/s", 1e6 / image.cpu_us, 300, 400, is_rate=True)
    yield from _latency(gateway, upstream)
    faults = image.faults + sum(load.faults for each in loads.values() for load in each)
    yield Row("requests above that failed", "", faults, 0)


def _chunks(gateway: Process, relay: Process, prototype: Process) -> Iterator[Row]:
    """Measure streamed chunks. The calls alternate, because the number of chunks that arrive together varies over time."""
    calls = {
        "proxy": (relay, bedrock_stream_call(relay.port, 5, 200)),
        "prototype": (prototype, figures.stream_call(prototype.port, 5, 200)),
        "paced": (gateway, figures.stream_call(gateway.port, 5, 200)),
        "native": (gateway, figures.native_stream_call(gateway.port)),
    }
    loads: dict[str, list[Load]] = {name: [] for name in calls}
    for _ in range(_TURNS):
        for name, called in calls.items():
            loads[name].append(run_streams(*called, 64))
    cost = {name: median(load.cpu for load in each) / 64 / 200 * 1e6 for name, each in loads.items()}
    yield Row("byte-for-byte proxy, CPU per streamed chunk", "us", cost["proxy"])
    yield Row("reference prototype, CPU per streamed chunk", "us", cost["prototype"])
    yield Row("CPU per streamed chunk, 64 streams, 5 ms", "us", cost["paced"])
    yield Row("chunk relative to the reference prototype", "", cost["paced"] / cost["prototype"], 1.2, 1.1)
    yield Row("mode native, CPU per streamed chunk", "us", cost["native"])
    yield Row("mode native, CPU per streamed chunk beyond the proxy's", "us", cost["native"] - cost["proxy"], 4)
    yield Row("streams above that failed", "", sum(load.faults for each in loads.values() for load in each), 0)


def _latency(gateway: Process, upstream: int) -> Iterator[Row]:
    direct = bedrock_call(upstream)
    alone = min(measure(None, repeat(direct, upstream, 1, 2000)).latency_ms() for _ in range(3))
    through = min(run_requests(gateway, figures.complete_call(gateway.port), 1, 2000).latency_ms() for _ in range(3))
    yield Row("added latency, p50, warm, one caller", "ms", through - alone, 0.3, 0.2)
    bedrock = bedrock_stream_call(upstream, 1, 3)
    alone = min(measure(None, repeat(bedrock, upstream, 1, 300)).first_ms() for _ in range(3))
    through = min(run_requests(gateway, figures.stream_call(gateway.port, 1, 3), 1, 300).first_ms() for _ in range(3))
    yield Row("added time to first event", "ms", through - alone, 0.5, 0.4)


def slow_streams(gateway: Process) -> Iterator[Row]:
    """Measure many slow streams at once."""
    before = gateway.memory()
    load = run_streams(gateway, figures.stream_call(gateway.port, 100, 100), 1000, 2.0, memory_after=7)
    yield Row("1,000 slow streams, incomplete", "", load.faults, 0)
    yield Row("1,000 slow streams, p99 gap of 100 ms", "ms", load.gap_ms(0.99), 105)
    yield Row("1,000 slow streams, memory per stream", "KiB", (load.memory - before) * 1024 / 1000, 32, 28)
    load = run_streams(gateway, figures.stream_call(gateway.port, 100, 50), 5000, 5.0)
    yield Row("5,000 slow streams, incomplete", "", load.faults, 0)
    yield Row("5,000 slow streams, p99 gap of 100 ms", "ms", load.gap_ms(0.99), None, 130)


def growth(gateway: Process) -> Iterator[Row]:
    """Measure whether costs grow linearly with the size of a request."""
    turns = {
        count: run_requests(gateway, figures.complete_call(gateway.port, count), 4, 400).cpu_us
        for count in (10, 100, 1000)
    }
    for count, cost in turns.items():
        yield Row(f"CPU per request with {count:,} turns", "us", cost)
    yield Row("CPU per turn, 1,000 turns relative to 100", "", turns[1000] / 1000 / (turns[100] / 100), 1.2)
    agents = {
        name: run_requests(gateway, figures.agent_call(gateway.port, model), 4, 400)
        for name, model in (("mode native", figures.CLAUDE), ("translated", "bench.complete"))
    }
    for name, load in agents.items():
        yield Row(f"CPU per request of a coding agent, 110 KB, {name}", "us", load.cpu_us)
    per_chunk = {}
    for count in (1, 100, 1000):
        load = run_streams(gateway, figures.stream_call(gateway.port, 100, 50), count, count / 500)
        per_chunk[count] = load.cpu / count / 50 * 1e6
        name = "1 slow stream, its request" if count == 1 else f"{count:,} slow streams, their requests"
        yield Row(f"CPU per chunk with {name} included", "us", per_chunk[count])
    yield Row("CPU per chunk, 1,000 streams relative to 100", "", per_chunk[1000] / per_chunk[100], 1.2)
    text = call(
        gateway.port,
        "/v1/chat/completions",
        {"model": "bench.complete", "messages": [{"role": "user", "content": "word " * 4_000_000}]},
        KEY,
    )
    gateway.forget_peak()
    before = gateway.memory()
    faults = run_requests(gateway, text, 1, 1).faults + sum(load.faults for load in agents.values())
    yield Row(
        "memory for a body of 20 MB, relative to its size",
        "",
        (gateway.memory("VmHWM") - before) * 2**20 / len(text.body),
        2,
    )
    yield Row("requests of this part that failed", "", faults, 0)
