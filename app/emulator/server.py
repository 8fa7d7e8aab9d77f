"""The embedded Bedrock as an ASGI application."""

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from app.emulator import catalog
from app.emulator.auth import Gate
from app.emulator.errors import ServiceError, invalid
from app.emulator.guardrails import check_guardrail
from app.emulator.llm import LlmMissing, LocalModel
from app.emulator.operations import Answer, Runtime, StreamAnswer
from app.emulator.protocol import ABORT
from app.emulator.wire import FrameWriter, SseWriter, corrupt
from app.wire import json

_log = logging.getLogger(__name__)

_MODEL = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)\Z")
_OPENAI = re.compile(r"(/openai)?/v1/(responses|chat/completions)\Z")
_GUARDRAIL = re.compile(r"/guardrail/(.+)/version/([^/]+)/apply\Z")
_FOUNDATION_MODEL = re.compile(r"/foundation-models(?:/(.+))?\Z")
_PROFILE = re.compile(r"/inference-profiles(?:/(.+))?\Z")

# what AWS answers to a path that it does not know, with status 200 (litellm#13618)
_UNKNOWN = {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}


class Emulator:
    """The application.

    Args:
        gate: who may call. llm: the local language model, or None.
    """

    def __init__(self, gate: Gate, llm: LocalModel | None = None) -> None:
        self._gate = gate
        self._llm = llm
        self._runtime = Runtime(llm)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._llm is not None:
                await asyncio.to_thread(self._llm.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        try:
            body = await _read(receive)
            service = self._admit(scope, body)
            answer = await _while_connected(self._dispatch(scope, body, service), receive)
            if isinstance(answer, Answer):
                await _send_whole(send, 200, answer.body, {"x-amzn-requestid": request_id, **answer.headers})
            elif isinstance(answer, StreamAnswer):
                await _while_connected(_send_stream(send, answer, request_id), receive)
        except ServiceError as error:
            await _send_error(send, error, request_id)
        except ConnectionError:
            if ABORT in scope.get("extensions", {}):
                scope["extensions"][ABORT]["abort"]()
        except (AttributeError, LookupError, TypeError) as error:
            # a model's own format is read as it should be: where it is something else, Bedrock would refuse it
            _log.warning("a body that the embedded Bedrock cannot read: %s", error)
            await _send_error(send, invalid("The request body is malformed."), request_id)
        except Exception:  # noqa: BLE001 -- a fault of ours must still be answered as Bedrock would
            _log.exception("the embedded Bedrock failed")
            message = "The system encountered an unexpected error during processing. Try your request again."
            await _send_error(send, ServiceError("InternalServerException", message), request_id)

    def _admit(self, scope: Scope, body: bytes) -> str:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        url = f"{scope['scheme']}://{headers.get('host', '')}{scope['raw_path'].decode('latin-1')}"
        return self._gate.check(scope["method"], f"{url}?{query}" if query else url, headers, body)

    async def _dispatch(self, scope: Scope, body: bytes, service: str) -> Answer | StreamAnswer:
        path = scope["raw_path"].decode("latin-1")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["method"] == "POST" and (match := _MODEL.match(path)):
            _check_guardrail(scope)
            return await self._run(match[2], unquote(match[1]), body)
        if scope["method"] == "POST" and _OPENAI.match(path):
            # a bearer key names no service
            is_mantle = None if not service else service == "bedrock-mantle"
            return await self._runtime.openai(path, is_mantle=is_mantle, body=body)
        if scope["method"] == "POST" and (match := _GUARDRAIL.match(path)):
            return await self._runtime.apply_guardrail(unquote(match[1]), match[2], body)
        if scope["method"] == "GET" and (match := _FOUNDATION_MODEL.match(path)):
            return Answer(json.dumps(_read_one(match[1], query, _FOUNDATION_READS)))
        if scope["method"] == "GET" and (match := _PROFILE.match(path)):
            return Answer(json.dumps(_read_one(match[1], query, _PROFILE_READS)))
        return Answer(json.dumps(_UNKNOWN))

    async def _run(self, operation: str, model: str, body: bytes) -> Answer | StreamAnswer:
        runtime = self._runtime
        operations: dict[str, Callable[[str, bytes], Awaitable[Answer | StreamAnswer]]] = {
            "converse": runtime.converse,
            "converse-stream": runtime.converse_stream,
            "invoke": runtime.invoke,
            "invoke-with-response-stream": runtime.invoke_stream,
            "count-tokens": runtime.count_tokens,
        }
        return await operations[operation](model, body)


def _check_guardrail(scope: Scope) -> None:
    """InvokeModel has its guardrail in headers."""
    headers = dict(scope["headers"])
    named = [
        headers.get(f"x-amzn-bedrock-guardrail{part}".encode(), b"").decode() for part in ("identifier", "version")
    ]
    if any(named):
        check_guardrail(*named)


_Reads = tuple[Callable[[dict[str, str]], dict[str, Any]], Callable[[str], dict[str, Any]]]
_FOUNDATION_READS: _Reads = (catalog.list_foundation_models, catalog.get_foundation_model)
_PROFILE_READS: _Reads = (catalog.list_inference_profiles, catalog.get_inference_profile)


def _read_one(name: str | None, query: dict[str, str], reads: _Reads) -> dict[str, Any]:
    list_all, get_one = reads
    return list_all(query) if name is None else get_one(unquote(name))


async def _read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _while_connected(work: Any, receive: Receive) -> Any:
    """The result of `work`, given up when the caller goes.

    Raises:
        ConnectionResetError: the caller has gone.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_departure(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ConnectionResetError
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
        del working, leaving, task  # what was raised in one holds this frame, which would hold it


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_error(send: Send, error: ServiceError, request_id: str) -> None:
    named = {"x-amzn-errortype": error.error_type} if error.error_type else {}
    headers = {**named, "x-amzn-requestid": request_id, **error.headers}
    await _send_whole(send, error.status, json.dumps(error.body), headers)


async def _send_whole(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    named = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    await send({"type": "http.response.start", "status": status, "headers": _raw(named)})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, answer: StreamAnswer, request_id: str) -> None:
    """Send frames until they end, or until the fault strikes; a response left open is cut by the server."""
    headers = {
        "content-type": answer.content_type,
        "x-amzn-bedrock-content-type": "application/json",
        "x-amzn-requestid": request_id,
    }
    await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
    fault = answer.fault
    number = 0
    async with aclosing(answer.frames) as frames:
        async for frame in _ending_in_an_exception(frames, answer.writer):
            sent = frame
            if fault.name == "drip":
                await asyncio.sleep(max(fault.number, 0) / 1000)
            if fault.is_at("cut", number):
                await _send_piece(send, frame[: len(frame) // 2])
                return
            if fault.is_at("stop", number):
                break
            if fault.is_at("stall", number):
                await asyncio.Event().wait()
            if fault.is_at("badcrc", number):
                sent = corrupt(frame)
            if exception := _exception_due(answer, number):
                await _send_piece(send, exception)
                break
            await _send_piece(send, sent)
            number += 1
    await send({"type": "http.response.body", "body": b""})


async def _ending_in_an_exception(
    frames: AsyncIterator[bytes], writer: FrameWriter | SseWriter
) -> AsyncIterator[bytes]:
    """The frames; a failure of the model on the way is told as Bedrock tells it in a stream."""
    try:
        async for frame in frames:
            yield frame
    except ServiceError as error:
        yield writer.exception(error.name[:1].lower() + error.name[1:], error.message)


def _exception_due(answer: StreamAnswer, number: int) -> bytes | None:
    fault, writer = answer.fault, answer.writer
    if fault.is_at("exception", number):
        return writer.exception("internalServerException", "The system encountered an unexpected error.")
    if fault.is_at("throttlemid", number):
        return writer.exception("throttlingException", "Too many tokens, please wait before trying again.")
    if fault.is_at("modelstream", number):
        return writer.exception(
            "modelStreamErrorException", "The model failed.", originalStatusCode=500, originalMessage="It broke."
        )
    return None


async def _send_piece(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def load_llm() -> tuple[LocalModel | None, str]:
    """The local language model, or None and why it cannot be had."""
    try:
        return LocalModel(), ""
    except LlmMissing as error:
        return None, str(error)
