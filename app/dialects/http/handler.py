"""Handles the requests of every translating dialect: complete, streamed and counted ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from app.converse.call import Surface
from app.dialects.http.dialect_adapter import DialectAdapter, StreamTranslator
from app.dialects.http.documents import is_streamed
from app.dialects.http.media_urls import fetch_media
from app.dialects.http.request_body import read_object
from app.dialects.http.response_sender import translate_batch
from app.dialects.http.responses import JSON, SSE, Answer, CompleteResponse, StreamingResponse
from app.dialects.http.token_counting import CountNotSupported, count_tokens
from app.errors import InvalidRequest
from app.execution.attempt import Call, fold_ignored
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation, ConverseStreamOperation
from app.execution.operations.count_tokens import CountTokensOperation
from app.execution.operations.invoke import InvokeOperation, InvokeStreamOperation
from app.execution.operations.mantle_messages import (
    MantleCountOperation,
    MantleMessagesOperation,
    MantleMessagesStreamOperation,
)
from app.execution.operations.openai import OpenAIOperation, OpenAIStreamOperation
from app.execution.operations.operation import MALFORMED, Operation, malformed
from app.execution.operations.translated import TranslatedOperation, TranslatedStreamOperation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.process.off_loop import off_loop
from app.routing.planner import Target
from app.wire import json
from app.wire.json import JsonObject


class DialectHandler(Struct, frozen=True):
    """Handles the requests of one dialect.

    adapter_for: makes the adapter of a request from its document. normalize: applied to the document first.
    count_members: members of the document that answers a count, besides the count.
    """

    executor: Executor
    adapter_for: Callable[[RequestContext, JsonObject], Awaitable[DialectAdapter]]
    normalize: Callable[[JsonObject], JsonObject] | None = None
    count_members: Mapping[str, str] = {}

    async def handle(self, context: RequestContext) -> Answer:
        """Answer a request, complete or streamed. Raises GatewayError."""
        adapter = await self.open(context)
        context.record.streamed = streamed = is_streamed(adapter.document)
        if streamed:
            if context.begin_stream is not None:
                context.heartbeat = partial(context.begin_stream, (*SSE, *adapter.headers), adapter.idle, adapter.fail)
            return await self.executor.run(context, adapter.model, partial(streaming_operation, adapter))
        response = await self.executor.run(context, adapter.model, partial(_complete_operation, adapter))
        if adapter.complete is not None:
            response = await adapter.complete(response)
        counted = context.response_bytes
        try:
            if counted is not None and counted.size:  # it counts only if it is large
                body = await off_loop(context.caller.name, counted.size, partial(json.dumps, response))
            else:
                body = json.dumps(response)
        except MALFORMED as error:
            raise malformed(error) from None
        return CompleteResponse(200, JSON + adapter.headers, body)

    async def count(self, context: RequestContext) -> Answer:
        """Count the tokens of a request; estimate them where Bedrock does not count for the model."""
        adapter = await self.open(context)
        operation_for = partial(_counting_operation, adapter)
        tokens, estimated = await count_tokens(self.executor, context, adapter.model, operation_for, adapter.document)
        body = json.dumps({**self.count_members, "input_tokens": tokens})
        return CompleteResponse(200, (*JSON, *adapter.headers, *estimated), body)

    async def check(self, context: RequestContext, adapter: DialectAdapter) -> None:
        """Make the call of a request without sending it, and note the fields that it ignores.

        Raises:
            InvalidRequest: no target can carry the call.
        """
        targets = await self.executor.plan(adapter.model, context.caller)
        call = Call(context, targets, partial(_complete_operation, adapter))
        refusal: InvalidRequest | None = None
        for target in targets:
            try:
                operation = await call.operation(target)
            except InvalidRequest as error:
                refusal = refusal or error
            else:
                fold_ignored(context.record, operation.ignored)
                return
        if refusal is not None:
            raise refusal

    async def open(self, context: RequestContext) -> DialectAdapter:
        """Read a request. Raises GatewayError."""
        document = await read_object(context)
        if self.normalize is not None:
            document = self.normalize(document)
        if self.executor.media is not None:
            await fetch_media(self.executor.media, document, context)
        return await self.adapter_for(context, document)


def _crosses_natively(adapter: DialectAdapter, target: Target) -> bool:
    """Tell whether a surface of the target takes the body as it is, and enforces the schema that the answer needs."""
    if adapter.needs_schema and target.capabilities.schemas.structured_output != "native":
        return False
    return adapter.body_format in target.native_formats


def _complete_operation(adapter: DialectAdapter, target: Target) -> Operation[JsonObject]:
    if not _crosses_natively(adapter, target):
        translated = adapter.to_call(target)
        if target.translated_to != "converse":
            return TranslatedOperation.of(translated.call, target, translated.from_reply)
        return ConverseOperation.of(translated.call, target, translated.from_reply)
    request = adapter.to_native(target)
    if adapter.openai_api is None:
        if target.capabilities.native.anthropic is Surface.MANTLE:
            return MantleMessagesOperation.of(request.call, target, request.usage_of, request.from_document)
        return InvokeOperation.of(request.call, target, request.usage_of, request.from_document)
    return OpenAIOperation.of(adapter.openai_api, request.call, target, request.usage_of, request.from_document)


def streaming_operation(adapter: DialectAdapter, target: Target) -> Operation[Answer]:
    """Return the operation that streams the response of a request from one target."""
    if not _crosses_natively(adapter, target):
        translated = adapter.to_call(target)
        respond = partial(_streaming_response, adapter, translated.open_stream())
        if target.translated_to != "converse":
            return TranslatedStreamOperation.of(translated.call, target, respond)
        return ConverseStreamOperation.of(translated.call, target, respond)
    request = adapter.to_native(target)
    call, usage_of, api = request.call, request.usage_of, adapter.openai_api
    respond = partial(_streaming_response, adapter, request.open_stream())
    if api is None:
        if target.capabilities.native.anthropic is Surface.MANTLE:
            return MantleMessagesStreamOperation.of(call, target, usage_of, respond)
        (last_event,) = adapter.last_events
        return InvokeStreamOperation.of(call, target, usage_of, last_event, respond)
    return OpenAIStreamOperation.of(api, call, target, usage_of, respond, adapter.last_events)


def _counting_operation(adapter: DialectAdapter, target: Target) -> Operation[int]:
    if not _crosses_natively(adapter, target):
        if target.translated_to != "converse":
            raise CountNotSupported("tokens are not counted for this model")
        return CountTokensOperation.of(adapter.to_call(target).call, target)
    if adapter.openai_api is not None:
        # CountTokens takes bodies of Converse and InvokeModel only
        raise CountNotSupported("tokens of this format are not counted")
    call = adapter.to_native(target).call
    if target.counts_on_mantle:
        return MantleCountOperation.of(call, target)
    return CountTokensOperation.of_native(call, target)


def _streaming_response(adapter: DialectAdapter, stream: StreamTranslator, relay: Relay[Any]) -> Answer:
    return StreamingResponse(
        200,
        (*SSE, *adapter.headers),
        relay,
        partial(translate_batch, stream.from_event),
        partial(adapter.finish, stream),
        stream.fail,
        adapter.idle,
    )
