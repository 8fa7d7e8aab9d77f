"""`POST /v1/responses`, and the answers that are kept: `GET` and `DELETE /v1/responses/{id}`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from msgspec import Struct

from app.converse.call import ModelCall, NativeCall
from app.dialects.http import identifiers as ids
from app.dialects.http.documents import read_object, validate
from app.dialects.http.endpoint import Endpoint, Handler, IngressLimits
from app.dialects.http.media_urls import fetch_media
from app.dialects.http.replies import SSE, in_batches, understood
from app.dialects.http.responses import JSON, Answer, CompleteResponse, StreamingResponse
from app.dialects.http.token_counting import Uncounted, counted
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.schemas import ERRORS
from app.dialects.openai.responses.listing import page_of
from app.dialects.openai.responses.native import (
    LAST,
    NativeFacts,
    NativeResponseStream,
    from_document,
    to_native,
    usage_of,
)
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request import KEPT, SIGNED, refuse, to_call
from app.dialects.openai.responses.response import from_reply
from app.dialects.openai.responses.response_context import ResponseFacts
from app.dialects.openai.responses.schema_in import Item, ResponseHead, ResponseRequest, is_reference
from app.dialects.openai.responses.schema_out import DeletedOut, ItemsOut, ResponseOut, TokensOut
from app.dialects.openai.responses.stored import KeptResponses
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import custom_names, namespaces
from app.errors import InvalidRequest, NotFound
from app.execution.executor import Pipeline
from app.execution.operations import openai
from app.execution.operations.operation import Operation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.process.lazy import Lazy
from app.routing.planner import Target
from app.storage.responses import ResponseStore
from app.wire import json, sse

DIALECT = "openai_responses"
FORMAT: Final = "openai_responses"
_EXAMPLES = {
    "plain": {"summary": "A question", "value": {"input": "Say hello."}},
    "streamed": {"summary": "A stream", "value": {"input": "Say hello.", "stream": True}},
}


class _Responses(Struct, frozen=True):
    """What the endpoints share. secret_of: what seals a caller's thoughts, by name."""

    pipeline: Pipeline
    store: ResponseStore
    secret_of: Callable[[str], bytes]

    def signer(self, context: RequestContext, target: Target) -> ReasoningSigner:
        """What seals a caller's thoughts of a target's model."""
        return ReasoningSigner(self.secret_of(context.caller.name), context.caller.name, target.known.base)


def response_routes(
    pipeline: Pipeline, ingress_limits: IngressLimits, store: ResponseStore, secret_of: Callable[[str], bytes]
) -> Sequence[Endpoint]:
    """The routes of this dialect."""
    shared = _Responses(pipeline, store, secret_of)

    async def create(context: RequestContext) -> Answer:
        return await _create(shared, context)

    async def retrieve(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        if "true" in parse_qs(context.head.query).get("stream", ()):
            raise InvalidRequest("a kept response is not streamed again", param="stream")
        response = await KeptResponses(store, context).response(wanted)
        if response is None:
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps(response))

    async def delete(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        if not await KeptResponses(store, context).forget(wanted):
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps({"id": wanted, "object": "response", "deleted": True}))

    async def list_items(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        items = await KeptResponses(store, context).led_to(wanted)
        if items is None:
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps(page_of(items, wanted, context.head.query)))

    async def count(context: RequestContext) -> Answer:
        return await _count(shared, context)

    async def create_response(body: ResponseRequest) -> ResponseOut:
        """Answer a conversation, in one piece or, with `stream`, as the events of a response."""
        raise AssertionError(body)

    async def retrieve_response(response_id: str) -> ResponseOut:
        """An answer that is kept, by the caller who got it."""
        raise AssertionError(response_id)

    async def delete_response(response_id: str) -> DeletedOut:
        """Forget an answer."""
        raise AssertionError(response_id)

    async def list_input_items(
        response_id: str, limit: int = 20, order: Literal["desc", "asc"] = "desc", after: str | None = None
    ) -> ItemsOut:
        """The items that led to an answer that is kept, a page of them, the newest first unless asked otherwise."""
        raise AssertionError(response_id, limit, order, after)

    async def count_input_tokens(body: ResponseRequest) -> TokensOut:
        """Count the tokens of a request without sending it. Where Bedrock does not count for the model, the count is
        an estimate, and `x-outcrop-estimated` says so."""
        raise AssertionError(body)

    stream = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    examples = {"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}}
    one = "/v1/responses/{response_id}"
    routes: tuple[tuple[str, str, Callable[..., Any], Handler, str, Any, Any], ...] = (
        ("POST", "/v1/responses", create_response, create, "Create a response", stream, examples),
        ("GET", one, retrieve_response, retrieve, "Retrieve a response", {}, None),
        ("DELETE", one, delete_response, delete, "Delete a response", {}, None),
        ("GET", f"{one}/input_items", list_input_items, list_items, "List the items that led to a response", {}, None),
        ("POST", "/v1/responses/input_tokens", count_input_tokens, count, "Count the tokens of a request", {}, None),
    )
    return [
        Endpoint(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_error,
            ingress_limits=ingress_limits,
            methods=[method],
            tags=["OpenAI"],
            summary=summary,
            responses={**responses, **ERRORS},
            openapi_extra=extra,
        )
        for method, path, documented, handler, summary, responses, extra in routes
    ]


async def _create(shared: _Responses, context: RequestContext) -> Answer:
    document = await read_object(context.take_body())
    await fetch_media(shared.pipeline.media, document, context)
    request = validate(document, ResponseHead)
    refuse(request)
    pipeline = shared.pipeline
    kept = KeptResponses(shared.store, context)
    earlier = await _earlier(kept, request.previous_response_id)
    sent = await _resolved(kept, request.input)
    items = [*((KEPT, item) for item in earlier), *((f"input[{index}]", item) for index, item in enumerate(sent))]
    known_as = pipeline.planner.known_as(request.model)
    # what is kept must hold its thoughts, so that the conversation can go on from it
    is_signed = request.store is not False or SIGNED in (request.include or ())
    head = ids.new_id("resp_"), int(time.time()), known_as

    @Lazy
    def validated() -> tuple[ResponseRequest, list[Item], list[Item]]:
        return validate(document, ResponseRequest), _items(sent, "input"), _items(earlier, KEPT)

    def translated(signer: ReasoningSigner) -> tuple[ModelCall, ResponseFacts]:
        whole, now, before = validated()
        names = custom_names(whole), namespaces(whole)
        facts = ResponseFacts(*head, whole, document, signer if is_signed else None, *names)
        return to_call(whole, signer, now, before), facts

    def as_it_is(signer: ReasoningSigner) -> tuple[NativeCall, NativeFacts, list[str]]:
        body, spaces, paths, ignored = to_native(document, items, signer)
        call = NativeCall(request.model, body, keep_reasoning=is_signed, tool_paths=paths)
        return call, NativeFacts(known_as, document, signer, spaces, request.store is not False), ignored

    def complete_operation(target: Target) -> Operation[dict[str, Any]]:
        signer = shared.signer(context, target)
        if not pipeline.takes_natively(target, FORMAT):
            call, facts = translated(signer)
            return pipeline.converse(context, call, target).then(understood(lambda reply: from_reply(reply, facts)))
        native_call, native_facts, ignored = as_it_is(signer)
        operation = openai.ask(context, FORMAT, native_call, target, usage_of)
        return operation.noting(ignored).then(understood(lambda answered: from_document(answered, native_facts)))

    def streaming_operation(target: Target) -> Operation[Answer]:
        signer = shared.signer(context, target)
        if not pipeline.takes_natively(target, FORMAT):
            call, facts = translated(signer)
            made = ResponseStream(facts)
            events = pipeline.converse_stream(context, call, target)
            return events.then(partial(streamed, made, made.from_event))
        native_call, native_facts, ignored = as_it_is(signer)
        passing = NativeResponseStream(native_facts)
        operation = openai.ask_for_stream(context, FORMAT, native_call, target, usage_of, LAST)
        return operation.noting(ignored).then(partial(streamed, passing, passing.from_document))

    def streamed(
        stream: ResponseStream | NativeResponseStream, translate: Callable[[Any], bytes], relay: Relay[Any]
    ) -> Answer:
        async def finish() -> bytes:
            response = understood(_ended)(stream)
            # whoever reads the end of an answer may refer to it at once
            return stream.last(await kept.keep(response, [*earlier, *sent]))

        return StreamingResponse(200, SSE, relay, in_batches(translate), finish, stream.fail, sse.COMMENT)

    if not request.stream:
        response = await pipeline.run(context, request.model, complete_operation)
        return CompleteResponse(200, JSON, json.dumps(await kept.keep(response, [*earlier, *sent])))
    context.record.streamed = True
    return await pipeline.run(context, request.model, streaming_operation)


async def _count(shared: _Responses, context: RequestContext) -> Answer:
    document = await read_object(context.take_body())
    await fetch_media(shared.pipeline.media, document, context)
    request = validate(document, ResponseHead)
    refuse(request)
    kept = KeptResponses(shared.store, context)
    earlier = await _earlier(kept, request.previous_response_id)
    sent = await _resolved(kept, request.input)

    def operation_for(target: Target) -> Operation[int]:
        if shared.pipeline.takes_natively(target, FORMAT):
            # CountTokens takes bodies of Converse and InvokeModel; and what crosses as it came may fit neither
            raise Uncounted("tokens of this format are not counted")
        whole, now, before = validate(document, ResponseRequest), _items(sent, "input"), _items(earlier, KEPT)
        return shared.pipeline.count(to_call(whole, shared.signer(context, target), now, before), target)

    whole = {**document, "input": [*earlier, *sent]}
    tokens, estimated = await counted(shared.pipeline, context, request.model, operation_for, whole)
    return CompleteResponse(
        200, (*JSON, *estimated), json.dumps({"object": "response.input_tokens", "input_tokens": tokens})
    )


def _ended(translator: ResponseStream | NativeResponseStream) -> dict[str, Any]:
    return translator.ended()


def _items(raw: list[Any], param: str) -> list[Item]:
    """Items as the translated mode knows them; raises InvalidRequest for others, with where they came from."""
    try:
        items = validate({"input": raw}, ResponseRequest).input
    except InvalidRequest as error:
        if param == KEPT:
            error.param = KEPT
        raise
    return list(items) if not isinstance(items, str) else []


async def _earlier(kept: KeptResponses, response_id: str | None) -> list[Any]:
    items = [] if response_id is None else await kept.conversation(response_id)
    if items is None:
        reason = f"the response {response_id!r} is not kept here: send its items"
        raise InvalidRequest(reason, param="previous_response_id")
    return items


async def _resolved(kept: KeptResponses, sent: Any) -> list[Any]:
    """The items that were sent, as they came, and in the place of references what they refer to."""
    if not isinstance(sent, list):
        return [] if sent is None else [{"role": "user", "content": sent}]
    items: list[Any] = []
    for index, given in enumerate(sent):
        item = given
        if is_reference(item):
            item = await kept.item(str(item.get("id")))
            if item is None:
                reason = f"the item {given.get('id')!r} is not kept here: send it whole, and store: false"
                raise InvalidRequest(reason, param=f"input[{index}]")
        items.append(item)
    return items


def _unknown(response_id: str) -> NotFound:
    return NotFound(f"the response {response_id!r} is not kept here", param="response_id")
