"""The calls that load a gateway, and the results of a load."""

import asyncio
import gc
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.load import Answer, Call, at_once, call, paced, percentile, repeat
from benchmarks.processes import KEY, MODEL, Process

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
DONE = b"data: [DONE]"
STOP = b"event: message_stop"
FRAME_END = b"metadata"


def chat(turns: int = 4, words: int = 60) -> list[dict[str, Any]]:
    """Return a conversation; four turns of 60 words are 1.6 KB."""
    return [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": "word " * words + str(turn)}
        for turn in range(turns - 1)
    ] + [{"role": "user", "content": "word " * words}]


def complete_call(port: int, turns: int = 4, key: str = KEY) -> Call:
    """Return a chat request with a complete response."""
    return call(port, "/v1/chat/completions", {"model": "bench.complete", "messages": chat(turns)}, key)


def stream_call(port: int, interval: int, count: int) -> Call:
    """Return a chat request with a streaming response of `count` chunks, one each `interval` ms."""
    body = {"model": f"bench.paced-{interval}-{count}", "messages": chat(), "stream": True}
    return call(port, "/v1/chat/completions", body, KEY, DONE)


def image_call(port: int) -> Call:
    """Return a chat request with an image of 1 MB."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'QUJD' * 262_144}"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    return call(
        port,
        "/v1/chat/completions",
        {"model": "bench.complete", "messages": [{"role": "user", "content": content}]},
        KEY,
    )


def native_call(port: int) -> Call:
    """Return the request of `complete_call` in the Messages dialect, for native mode."""
    return call(port, "/v1/messages", {"model": CLAUDE, "max_tokens": 100, "messages": chat()}, KEY)


def native_stream_call(port: int) -> Call:
    """Return the same request with a streaming response: 200 chunks, one each 5 ms."""
    body = {"model": CLAUDE, "max_tokens": 100, "messages": chat(), "stream": True}
    return call(port, "/v1/messages", body, KEY, STOP)


def agent_call(port: int, model: str, steps: int = 40, tools: int = 25) -> Call:
    """Return what a coding agent sends in the midst of its work: 40 results of 25 tools are 110 KB."""
    parameter = {"type": "string", "description": "What the tool needs to know. " * 5}
    schema = {"type": "object", "properties": {f"parameter_{each}": parameter for each in range(6)}}
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Fix the bug. " * 40}]}]
    for step in range(steps):
        used = {
            "type": "tool_use",
            "id": f"toolu_{step:024d}",
            "name": f"tool_{step % tools}",
            "input": {"parameter_0": "src/file.py", "parameter_1": "x" * 200},
        }
        read = [{"type": "text", "text": "a line of the file\n" * 40}]
        result = {"type": "tool_result", "tool_use_id": used["id"], "content": read}
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": "I look at the file. " * 4}, used]},
            {"role": "user", "content": [result]},
        ]
    body = {
        "model": model,
        "max_tokens": 1000,
        "system": "You are an agent. " * 100,
        "tools": [
            {"name": f"tool_{each}", "description": "It does something. " * 40, "input_schema": schema}
            for each in range(tools)
        ],
        "messages": messages,
    }
    return call(port, "/v1/messages", body, KEY)


def passthrough_call(port: int) -> Call:
    """Return a request in the Bedrock dialect, for passthrough mode."""
    messages = [{"role": each["role"], "content": [{"text": each["content"]}]} for each in chat()]
    return call(port, "/model/bench.complete/converse", {"messages": messages}, KEY)


def bedrock_call(port: int) -> Call:
    """Return a request that the upstream accepts without a gateway."""
    return call(port, f"/model/{MODEL}/converse", {"messages": chat()}, KEY)


def bedrock_stream_call(port: int, interval: int, count: int) -> Call:
    """Return the same request with a streaming response."""
    return call(port, f"/model/bench.paced-{interval}-{count}/converse-stream", {}, KEY, FRAME_END)


@dataclass(slots=True)
class Load:
    """The results of a load: the answers, the CPU seconds and wall seconds, and the memory of the gateway in MiB."""

    answers: list[Answer]
    cpu: float
    wall: float
    memory: float = 0.0
    faults: int = field(init=False)

    def __post_init__(self) -> None:
        self.faults = sum(not answer.is_good for answer in self.answers)

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per request."""
        return self.cpu / len(self.answers) * 1e6

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.answers) / self.wall

    def latency_ms(self, fraction: float = 0.5) -> float:
        """Return the milliseconds until the last byte of a response."""
        return percentile([answer.last for answer in self.answers], fraction) * 1000

    def first_ms(self, fraction: float = 0.5) -> float:
        """Return the milliseconds until the first byte of a response."""
        return percentile([answer.first for answer in self.answers], fraction) * 1000

    def delay_ms(self, fraction: float) -> float:
        """Return the milliseconds from the time when the upstream sent a chunk to its arrival."""
        return percentile([delay for answer in self.answers for delay in answer.delays], fraction) * 1000

    def gap_ms(self, fraction: float) -> float:
        """Return the milliseconds between two arrivals of a stream."""
        return percentile([gap for answer in self.answers for gap in answer.gaps], fraction) * 1000


def measure(process: Process | None, load: Awaitable[list[Answer]], memory_after: float = 0.0) -> Load:
    """Run a load. memory_after: seconds after its start at which the memory of the gateway is read.

    Nothing is collected meanwhile, because a pause of the load generator would count as one of the gateway.
    """

    async def run() -> Load:
        before, started = process.cpu() if process else 0.0, time.perf_counter()
        memory: list[float] = []

        async def read_memory() -> None:
            await asyncio.sleep(memory_after)
            memory.append(process.memory() if process else 0.0)

        reading = asyncio.create_task(read_memory()) if memory_after else None
        answers = await load
        wall = time.perf_counter() - started
        if reading is not None:
            await reading
        cpu = (process.cpu() if process else 0.0) - before
        return Load(answers, cpu, wall, memory[0] if memory else 0.0)

    gc.disable()
    try:
        return uvloop.run(run())
    finally:
        gc.enable()


def run_requests(process: Process, made: Call, callers: int = 16, total: int = 6000) -> Load:
    """Send requests with complete responses, after a warm-up."""
    measure(process, repeat(made, process.port, callers, total // 10))
    return measure(process, repeat(made, process.port, callers, total))


def run_paced(process: Process, made: Call, rate: float, total: int) -> Load:
    """Send requests with complete responses one after the other, at most `rate` of them in a second."""
    return measure(process, paced(made, process.port, rate, total))


def run_streams(process: Process, made: Call, count: int, spread: float = 0.0, memory_after: float = 0.0) -> Load:
    """Open `count` streams at the same time."""
    return measure(process, at_once(made, process.port, count, spread), memory_after)
