"""What an operation returns: a complete or a streaming response."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from app.converse.events import Event
from app.emulator.faults import Fault
from app.emulator.openai_api.shapes import sse_frame
from app.emulator.stream_writers import FrameWriter, SseWriter
from app.wire import eventstream
from app.wire.json import JsonObject


@dataclass(frozen=True, slots=True)
class CompleteResponse:
    """A response in one piece."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamingResponse:
    """The frames of a stream, and the fault to inject into it."""

    frames: AsyncGenerator[bytes, None]
    fault: Fault
    writer: FrameWriter | SseWriter
    content_type: str = eventstream.CONTENT_TYPE


Response = CompleteResponse | StreamingResponse

GARBAGE = CompleteResponse(b"<html>not what you expect</html>", {"content-type": "text/html"})


async def open_stream(
    fault: Fault, seed: bytes, frames: Callable[[FrameWriter], AsyncGenerator[bytes, None]]
) -> Response:
    """Open an event stream. An error before its first frame is raised here, since it has an HTTP status.

    Args:
        seed: determines the padding of the frames. frames: makes them with a writer.
    """
    if fault.name == "garbage":
        return GARBAGE
    writer = FrameWriter(seed)
    return StreamingResponse(await with_first_frame(frames(writer)), fault, writer)


async def with_first_frame(frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same frames, once the first of them is there."""
    first = await anext(frames, b"")

    async def all_frames() -> AsyncGenerator[bytes, None]:
        async with aclosing(frames):
            yield first
            async for frame in frames:
                yield frame

    return all_frames()


async def event_frames(events: AsyncIterator[Event], writer: FrameWriter) -> AsyncGenerator[bytes, None]:
    """Frame the events of ConverseStream."""
    async for event in events:
        ((kind, payload),) = event.items()
        yield writer.event(kind, cast("Mapping[str, object]", payload))


async def chunk_frames(documents: AsyncIterator[JsonObject], writer: FrameWriter) -> AsyncGenerator[bytes, None]:
    """Frame the chunks of InvokeModelWithResponseStream."""
    async for document in documents:
        yield writer.chunk(document)


async def sse_frames(documents: AsyncIterator[JsonObject], *, ends_with_done: bool) -> AsyncGenerator[bytes, None]:
    """Frame the events of OpenAI's APIs; Chat Completions ends with `[DONE]`."""
    async for document in documents:
        yield sse_frame(document)
    if ends_with_done:
        yield b"data: [DONE]\n\n"


def token_headers(metrics: dict[str, int]) -> dict[str, str]:
    """Invocation metrics as headers; every recorded response of InvokeModel has them."""
    names = {
        "inputTokenCount": "input-token-count",
        "outputTokenCount": "output-token-count",
        "cacheReadInputTokenCount": "cache-read-input-token-count",
        "cacheWriteInputTokenCount": "cache-write-input-token-count",
    }
    headers = {f"x-amzn-bedrock-{name}": str(metrics[count]) for count, name in names.items() if count in metrics}
    return {**headers, "x-amzn-bedrock-invocation-latency": "1"}
