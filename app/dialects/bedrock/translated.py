"""Answers Converse and ConverseStream for models that Bedrock serves by OpenAI's APIs only.

Nothing crosses byte for byte here: the body becomes a call, as that of every other dialect does.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from app.converse.call import ModelCall
from app.converse.events import Event
from app.converse.reply import Reply
from app.converse.request import ConverseRequest
from app.dialects.bedrock.errors import exception_frame
from app.dialects.http.request_body import read_object
from app.dialects.http.response_sender import translate_batch
from app.dialects.http.responses import JSON, Answer, CompleteResponse, Headers, StreamingResponse
from app.errors import GatewayError, InvalidRequest
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation, ConverseStreamOperation
from app.execution.operations.operation import Operation
from app.execution.operations.translated import TranslatedOperation, TranslatedStreamOperation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.routing.planner import Target
from app.wire import eventstream, json

_read = json.reader_of(ConverseRequest)
# Converse's names of the fields that OpenAI's chat calls so
_NAMES: dict[str, tuple[str, ...]] = {
    "max_tokens": ("inferenceConfig.maxTokens",),
    "parallel_tool_calls": ("toolConfig",),
    "reasoning_effort": ("outputConfig.effort",),
    "response_format": ("outputConfig.textFormat",),
    "response_format.json_schema.schema": ("outputConfig.textFormat.structure.jsonSchema.schema",),
    "service_tier": ("serviceTier",),
    "stop": ("inferenceConfig.stopSequences",),
    "temperature": ("inferenceConfig.temperature",),
    "tool_choice": ("toolConfig.toolChoice",),
    "top_p": ("inferenceConfig.topP",),
}


async def answer(executor: Executor, context: RequestContext, name: str, *, is_streamed: bool) -> Answer:
    """Answer a request of Converse, or of ConverseStream.

    Raises:
        GatewayError: as `Executor.run` does; InvalidRequest for a body that is none of Converse.
    """
    call = await _read_call(context, name)
    context.record.streamed = is_streamed
    operation_for = partial(_streaming if is_streamed else _complete, context, call)
    try:
        return await executor.run(context, name, operation_for)
    except GatewayError as error:
        # the upstream's own response is in another format
        words = f"{error.param}: {error.message}" if error.param else error.message
        raise error.replaced(upstream=None, message=words) from None


async def _read_call(context: RequestContext, name: str) -> ModelCall:
    text, size = context.body, context.size
    document = await read_object(context)
    check = partial(_check, text)
    if size <= MAX_LOOP_BYTES:
        check()
    else:
        await off_loop(context.caller.name, size, check)
    return ModelCall(name, cast(ConverseRequest, document), names=_NAMES)


def _check(text: bytes) -> None:
    try:
        _read(text)
    except json.JsonError as error:
        raise InvalidRequest(str(error)) from None


def _complete(context: RequestContext, call: ModelCall, target: Target) -> Operation[Answer]:
    make = partial(_complete_response, context)
    if target.translated_to == "converse":
        return ConverseOperation.of(call, target, make)
    return TranslatedOperation.of(call, target, make)


def _streaming(context: RequestContext, call: ModelCall, target: Target) -> Operation[Answer]:
    make = partial(_streaming_response, context)
    if target.translated_to == "converse":
        return ConverseStreamOperation.of(call, target, make)
    return TranslatedStreamOperation.of(call, target, make)


def _complete_response(context: RequestContext, reply: Reply) -> Answer:
    return CompleteResponse(200, (*JSON, *_request_id(context)), json.dumps(_own(context, reply)))


def _streaming_response(context: RequestContext, relay: Relay[list[Event]]) -> Answer:
    headers: Headers = (("content-type", eventstream.CONTENT_TYPE), *_request_id(context))
    translate: Callable[[Any], Any] = partial(translate_batch, partial(_frame, context))

    async def finish() -> bytes:
        return b""

    return StreamingResponse(200, headers, relay, translate, finish, partial(exception_frame, is_invoked=False))


def _request_id(context: RequestContext) -> Headers:
    return (("x-amzn-requestid", context.record.request_id),)


def _frame(context: RequestContext, event: Event) -> bytes:
    ((kind, payload),) = cast(dict[str, Any], event).items()
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode_frame(headers, json.dumps(_own(context, payload)))


def _own(context: RequestContext, members: Any) -> dict[str, Any]:
    """Return members of a reply with the latency of this call, and without fields that nobody requested."""
    kept = {name: value for name, value in members.items() if name != "additionalModelResponseFields"}
    if "metrics" in kept:
        kept["metrics"] = {"latencyMs": int(context.record.elapsed_ms())}
    return kept
