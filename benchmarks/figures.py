"""The figures: each is one way to load a gateway, and what came of it."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.load import Answer, Call, at_once, call, percentile, repeat
from benchmarks.processes import KEY, MODEL, Process

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
DONE = b"data: [DONE]"
STOP = b"event: message_stop"
FRAME_END = b"metadata"
CLAUDE_FRAME_END = b"\x00"


def chat(turns: int = 4, words: int = 60) -> list[dict[str, Any]]:
    """A conversation; four turns of 60 words are 1.6 KB."""
    return [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": "word " * words + str(turn)}
        for turn in range(turns - 1)
    ] + [{"role": "user", "content": "word " * words}]


def whole_call(port: int, turns: int = 4) -> Call:
    """A chat request that is not streamed."""
    return call(port, "/v1/chat/completions", {"model": "bench.whole", "messages": chat(turns)}, KEY)


def stream_call(port: int, interval: int, count: int) -> Call:
    """A chat request whose answer is `count` chunks, one each `interval` ms."""
    body = {"model": f"bench.paced-{interval}-{count}", "messages": chat(), "stream": True}
    return call(port, "/v1/chat/completions", body, KEY, DONE)


def image_call(port: int) -> Call:
    """A chat request with a picture of 1 MB."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'QUJD' * 262_144}"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    return call(
        port, "/v1/chat/completions", {"model": "bench.whole", "messages": [{"role": "user", "content": content}]}, KEY
    )


def native_call(port: int) -> Call:
    """The request of `whole_call` in Claude's own words, which its own API takes."""
    return call(port, "/v1/messages", {"model": CLAUDE, "max_tokens": 100, "messages": chat()}, KEY)


def native_stream_call(port: int) -> Call:
    """The same, streamed: 200 chunks, one each 5 ms."""
    body = {"model": CLAUDE, "max_tokens": 100, "messages": chat(), "stream": True}
    return call(port, "/v1/messages", body, KEY, STOP)


def identity_call(port: int) -> Call:
    """A call in Bedrock's own words."""
    messages = [{"role": each["role"], "content": [{"text": each["content"]}]} for each in chat()]
    return call(port, "/model/bench.whole/converse", {"messages": messages}, KEY)


def bedrock_call(port: int) -> Call:
    """A call of Bedrock's own, which the upstream answers itself."""
    return call(port, f"/model/{MODEL}/converse", {"messages": chat()}, KEY)


def bedrock_stream_call(port: int, interval: int, count: int) -> Call:
    """The same as a stream."""
    return call(port, f"/model/bench.paced-{interval}-{count}/converse-stream", {}, KEY, FRAME_END)


@dataclass(slots=True)
class Load:
    """A load's outcome: the answers, and the CPU seconds and MiB of the gateway meanwhile."""

    answers: list[Answer]
    cpu: float
    wall: float
    memory: float = 0.0
    faults: int = field(init=False)

    def __post_init__(self) -> None:
        self.faults = sum(not answer.is_good for answer in self.answers)

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a request."""
        return self.cpu / len(self.answers) * 1e6

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.answers) / self.wall

    def latency_ms(self, share: float = 0.5) -> float:
        """Milliseconds to the whole answer."""
        return percentile([answer.last for answer in self.answers], share) * 1000

    def first_ms(self, share: float = 0.5) -> float:
        """Milliseconds to the answer's first byte."""
        return percentile([answer.first for answer in self.answers], share) * 1000

    def delay_ms(self, share: float) -> float:
        """Milliseconds from the upstream's sending of a chunk to its arrival."""
        return percentile([delay for answer in self.answers for delay in answer.delays], share) * 1000

    def gap_ms(self, share: float) -> float:
        """Milliseconds between two arrivals of a stream."""
        return percentile([gap for answer in self.answers for gap in answer.gaps], share) * 1000


def measure(process: Process | None, load: Awaitable[list[Answer]], memory_after: float = 0.0) -> Load:
    """Run a load. memory_after: seconds into it at which the gateway's memory is read."""

    async def run() -> Load:
        before, started = process.cpu() if process else 0.0, time.perf_counter()
        held: list[float] = []

        async def look() -> None:
            await asyncio.sleep(memory_after)
            held.append(process.memory() if process else 0.0)

        looking = asyncio.create_task(look()) if memory_after else None
        answers = await load
        wall = time.perf_counter() - started
        if looking is not None:
            await looking
        cpu = (process.cpu() if process else 0.0) - before
        return Load(answers, cpu, wall, held[0] if held else 0.0)

    return uvloop.run(run())


def whole(process: Process, made: Call, callers: int = 16, total: int = 6000) -> Load:
    """Requests that are not streamed, after a warm-up."""
    measure(process, repeat(made, process.port, callers, total // 10))
    return measure(process, repeat(made, process.port, callers, total))


def streams(process: Process, made: Call, count: int, spread: float = 0.0, memory_after: float = 0.0) -> Load:
    """Streams at once, after a warm-up."""
    return measure(process, at_once(made, process.port, count, spread), memory_after)
