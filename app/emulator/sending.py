"""Sends responses over ASGI, with the faults of a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.types import Send

from app.emulator.errors import ServiceError
from app.emulator.responses import StreamingResponse
from app.emulator.stream_writers import FrameWriter, SseWriter, corrupt
from app.wire import json


async def send_error(send: Send, error: ServiceError, request_id: str) -> None:
    """Send an error as Bedrock does."""
    type_header = {"x-amzn-errortype": error.error_type} if error.error_type else {}
    headers = {**type_header, "x-amzn-requestid": request_id, **error.headers}
    await send_complete(send, error.status, json.dumps(error.body), headers)


async def send_complete(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Send a response in one piece; it is JSON unless `headers` say otherwise."""
    all_headers = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    await send({"type": "http.response.start", "status": status, "headers": _encode(all_headers)})
    await send({"type": "http.response.body", "body": body})


async def send_stream(send: Send, response: StreamingResponse, request_id: str) -> None:
    """Send frames until they end or the fault ends them; the server aborts a response that is not completed."""
    headers = {
        "content-type": response.content_type,
        "x-amzn-bedrock-content-type": "application/json",
        "x-amzn-requestid": request_id,
    }
    await send({"type": "http.response.start", "status": 200, "headers": _encode(headers)})
    fault = response.fault
    async with aclosing(response.frames) as frames:
        number = 0
        async for frame in _with_exception(frames, response.writer):
            if fault.name == "drip":
                await asyncio.sleep(max(fault.number, 0) / 1000)
            if fault.is_at("cut", number):
                await _send_part(send, frame[: len(frame) // 2])
                return
            if fault.is_at("stop", number):
                break
            if fault.is_at("stall", number):
                await asyncio.Event().wait()
            if exception := _exception_at(response, number):
                await _send_part(send, exception)
                break
            await _send_part(send, corrupt(frame) if fault.is_at("badcrc", number) else frame)
            number += 1
    await send({"type": "http.response.body", "body": b""})


async def _with_exception(frames: AsyncIterator[bytes], writer: FrameWriter | SseWriter) -> AsyncIterator[bytes]:
    """The frames; an error of the model becomes an exception in the stream."""
    try:
        async for frame in frames:
            yield frame
    except ServiceError as error:
        yield writer.exception(error.name[:1].lower() + error.name[1:], error.message)


def _exception_at(response: StreamingResponse, number: int) -> bytes | None:
    fault, writer = response.fault, response.writer
    if fault.is_at("exception", number):
        return writer.exception("internalServerException", "The system encountered an unexpected error.")
    if fault.is_at("throttlemid", number):
        return writer.exception("throttlingException", "Too many tokens, please wait before trying again.")
    if fault.is_at("modelstream", number):
        return writer.exception(
            "modelStreamErrorException", "The model failed.", originalStatusCode=500, originalMessage="It broke."
        )
    return None


async def _send_part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
