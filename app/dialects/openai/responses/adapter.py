"""One request for a response, and its translation to calls and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Self

from app.converse.call import NativeCall
from app.converse.openai_documents import usage_of_response
from app.converse.usage import Usage
from app.dialects.http.dialect_adapter import NativeRequest, TranslatedRequest
from app.dialects.http.documents import validate
from app.dialects.http.responses import Headers
from app.dialects.openai.common.errors import type_and_code_of
from app.dialects.openai.responses.compaction import (
    SCOPE,
    compacted,
    dropped_members,
    read_summary,
    summary_request,
)
from app.dialects.openai.responses.connection_responses import ConnectionResponses
from app.dialects.openai.responses.history import (
    PLAIN_ITEMS,
    Conversation,
    DeclaredTools,
    declare_tools,
    original_path,
    rewrite_items,
)
from app.dialects.openai.responses.native import (
    LAST,
    NativeResponseContext,
    NativeResponseStream,
    from_document,
    to_native,
)
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request import KEPT, SIGNED, refuse, to_call
from app.dialects.openai.responses.request_members import request_members
from app.dialects.openai.responses.response import from_reply
from app.dialects.openai.responses.response_context import ResponseContext, usage_body
from app.dialects.openai.responses.schema_in import Item, ResponseHead, ResponseRequest, is_reference
from app.dialects.openai.responses.stored import CallersResponses
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import custom_names, namespaces
from app.errors import GatewayError, InvalidRequest, ResponseNotStored
from app.execution.operations.openai import OpenAIFormat
from app.execution.operations.operation import MALFORMED, malformed
from app.execution.request_context import RequestContext
from app.models.openai_surfaces import responses_surface
from app.routing.planner import BodyFormat, Planner, Target
from app.storage.responses import ResponseStore
from app.wire import json, sse
from app.wire.documents import listed, text_in
from app.wire.json import JsonObject

_CHECKED = ("function_call_output", "custom_tool_call_output")


class ResponsesAdapter:
    """One request for a response; see `DialectAdapter`.

    earlier: the items of the stored response that it continues. sent: its own items, references resolved.
    """

    body_format: ClassVar[BodyFormat] = "openai_responses"
    openai_api: ClassVar[OpenAIFormat | None] = "openai_responses"
    last_events: ClassVar[frozenset[str]] = LAST
    idle: ClassVar[bytes] = sse.COMMENT
    needs_schema: ClassVar[bool] = False
    headers: ClassVar[Headers] = ()

    def __init__(
        self,
        head: ResponseHead,
        document: JsonObject,
        earlier: list[object],
        sent: list[object],
        known_as: str,
        kept: CallersResponses,
        signer_for: Callable[[str], ReasoningSigner],
    ) -> None:
        self.model = head.model
        self.document = {**document, "input": [*earlier, *sent]}
        self._sent_document = document
        self._earlier, self._sent = earlier, sent
        self._kept = kept
        self._signer_for = signer_for
        self._is_kept = head.store is not False
        # a stored response must hold its reasoning, so that the conversation can continue from it
        self._is_signed = self._is_kept or kept.connection is not None or SIGNED in (head.include or ())
        self._known_as = known_as
        self._response_head = "resp_" + secrets.token_hex(12), int(time.time()), known_as
        self._validated: tuple[ResponseRequest, list[Item], list[Item]] | None = None

    @classmethod
    async def for_request(
        cls,
        planner: Planner,
        store: ResponseStore,
        secrets_of: Callable[[str], tuple[bytes, ...]],
        context: RequestContext,
        document: JsonObject,
        connection: ConnectionResponses | None = None,
    ) -> Self:
        """Read what the request refers to from the store.

        Args:
            connection: of the WebSocket that brought the request.

        Raises:
            InvalidRequest: it refers to what is not stored, or needs OpenAI's own servers. Overloaded.
        """
        head = validate(document, ResponseHead)
        refuse(head)
        kept = CallersResponses(store, context, connection)
        continued = head.previous_response_id
        try:
            earlier = [] if continued is None else await _earlier(kept, continued)
            sent = await _resolved(kept, head.input)
            if continued is not None:
                _check_outputs(earlier, sent)
        finally:
            if continued is not None:
                await kept.leave_connection(continued)
        caller = context.caller.name

        def signer_for(scope: str) -> ReasoningSigner:
            return ReasoningSigner(secrets_of(caller), caller, scope)

        return cls(head, document, earlier, sent, planner.known_as(head.model), kept, signer_for)

    def to_call(self, target: Target) -> TranslatedRequest:
        conversation, tools = self._rewritten(PLAIN_ITEMS)
        signer = self._signer_for(target.model_behind.base)
        try:
            request, sent, earlier = self._validated or self._validate(conversation, tools)
            self._validated = request, sent, earlier
            call = to_call(request, signer, sent, earlier)
            names = custom_names(request), namespaces(request)
        except InvalidRequest as error:
            raise _renamed(error, conversation, tools) from None
        call.ignored = [*conversation.ignored, *[_original(path, conversation, tools) for path in call.ignored]]
        reasoning_signer = signer if self._is_signed else None
        response_context = ResponseContext(*self._response_head, request, self._sent_document, reasoning_signer, *names)
        return TranslatedRequest(
            call, partial(from_reply, response_context=response_context), partial(ResponseStream, response_context)
        )

    def to_native(self, target: Target) -> NativeRequest:
        signer, document = self._signer_for(target.model_behind.base), self._sent_document
        accepts = responses_surface(target.capabilities.native.openai_responses)
        conversation, tools = self._rewritten(PLAIN_ITEMS | accepts.items)
        changed = {**document, "tools": tools.tools} if conversation.tools else document
        try:
            body, spaces, paths, ignored = to_native(changed, conversation.items, signer)
        except InvalidRequest as error:
            raise _renamed(error, conversation, tools) from None
        response_context = NativeResponseContext(self._known_as, document, signer, spaces, self._is_kept)
        call = NativeCall(
            self.model,
            body,
            keep_reasoning=self._is_signed,
            tool_paths=[_original(path, conversation, tools) for path in paths],
            ignored=[*conversation.ignored, *[_original(path, conversation, tools) for path in ignored]],
        )
        return NativeRequest(
            call,
            partial(from_document, response_context=response_context),
            partial(NativeResponseStream, response_context),
            usage_of_response,
        )

    def _rewritten(self, accepted: frozenset[str]) -> tuple[Conversation, DeclaredTools]:
        """Return the conversation for a surface that accepts some types of items, and the tools of the request."""
        paths = [*([KEPT] * len(self._earlier)), *[f"input[{index}]" for index in range(len(self._sent))]]
        signer, items = self._signer_for(SCOPE), [*self._earlier, *self._sent]
        read = [(path, read_summary(item, path, signer)) for path, item in zip(paths, items, strict=True)]
        conversation = rewrite_items(read, accepted)
        return conversation, declare_tools(listed(self._sent_document.get("tools")), conversation.tools)

    def _validate(
        self, conversation: Conversation, tools: DeclaredTools
    ) -> tuple[ResponseRequest, list[Item], list[Item]]:
        """Validate the rewritten request and its items for translation. Raises InvalidRequest, with its paths."""
        sent = [item for path, item in conversation.items if path != KEPT]
        earlier = [item for path, item in conversation.items if path == KEPT]
        changed = {"tools": tools.tools} if conversation.tools else {}
        given = {"input": sent} if isinstance(self._sent_document.get("input"), list) else {}
        request = validate({**self._sent_document, **given, **changed}, ResponseRequest)
        return request, _items(sent, "input"), _items(earlier, KEPT)

    def begun_response(self) -> JsonObject:
        """Return the response as it runs in the background."""
        return {**self._members(), "status": "in_progress", "background": True}

    async def empty_response(self) -> JsonObject:
        """Return a response without output, which a later request may continue."""
        members = self._members()
        ended = {"status": "completed", "completed_at": members["created_at"], "usage": usage_body(Usage())}
        return await self.complete({**members, **ended})

    def _members(self) -> JsonObject:
        response_id, created_at, model = self._response_head
        head = {"id": response_id, "object": "response", "created_at": created_at, "model": model}
        return {**head, **request_members(self._sent_document), "store": self._is_kept}

    def fail(self, error: GatewayError) -> bytes:
        detail = {"code": type_and_code_of(error)[1] or "server_error", "message": error.message}
        response = {**self._members(), "status": "failed", "error": detail, "store": False}
        event = {"type": "response.failed", "sequence_number": 0, "response": response}
        return sse.named_frame("response.failed", json.dumps(event))

    async def complete(self, response: JsonObject) -> JsonObject:
        return await self._kept.keep(response, [*self._earlier, *self._sent])

    async def finish(self, stream: ResponseStream | NativeResponseStream) -> bytes:
        try:
            response = stream.ended()
        except MALFORMED as error:
            raise malformed(error) from None
        # the caller may refer to the response as soon as it has read the end
        return stream.last(await self.complete(response))


class CompactionAdapter(ResponsesAdapter):
    """A request for the summary of a conversation; see `summary_request`.

    dropped: the caller's members that have no effect.
    """

    dropped: Sequence[str] = ()

    @classmethod
    async def for_request(
        cls,
        planner: Planner,
        store: ResponseStore,
        secrets_of: Callable[[str], tuple[bytes, ...]],
        context: RequestContext,
        document: JsonObject,
        connection: ConnectionResponses | None = None,
    ) -> Self:
        asked = summary_request(document)
        adapter = await super().for_request(planner, store, secrets_of, context, asked, connection)
        adapter.dropped = dropped_members(document)
        return adapter

    def to_call(self, target: Target) -> TranslatedRequest:
        request = super().to_call(target)
        request.call.ignored.extend(self.dropped)
        return request

    def to_native(self, target: Target) -> NativeRequest:
        request = super().to_native(target)
        request.call.ignored.extend(self.dropped)
        return request

    async def complete(self, response: JsonObject) -> JsonObject:
        return compacted(response, [*self._earlier, *self._sent][:-1], self._signer_for(SCOPE))


def _original(path: str, conversation: Conversation, tools: DeclaredTools) -> str:
    return original_path(path, [path for path, _ in conversation.items if path != KEPT], tools.paths)


def _renamed(error: InvalidRequest, conversation: Conversation, tools: DeclaredTools) -> InvalidRequest:
    """Return an error with the caller's path of the field, in its message too."""
    if error.param is None or (path := _original(error.param, conversation, tools)) == error.param:
        return error
    return InvalidRequest(error.message.replace(error.param, path, 1), param=path)


def _items(raw: list[object], param: str) -> list[Item]:
    """Validate items for translation. Raises InvalidRequest; its `param` names the source of the items."""
    try:
        items = validate({"input": raw}, ResponseRequest).input
    except InvalidRequest as error:
        if param == KEPT:
            raise InvalidRequest(error.message, param=KEPT) from None
        raise
    return list(items) if not isinstance(items, str) else []


async def _earlier(kept: CallersResponses, response_id: str) -> list[object]:
    items = await kept.conversation(response_id)
    if items is None:
        reason = f"the response {response_id!r} is not kept here: send its items"
        raise ResponseNotStored(reason, param="previous_response_id")
    return items


def _check_outputs(earlier: list[object], sent: list[object]) -> None:
    """Raise InvalidRequest for an output whose call the stored conversation does not have, as OpenAI does."""
    calls = {text_in(item, "call_id") for item in (*earlier, *sent) if text_in(item, "type") not in _CHECKED}
    for index, item in enumerate(sent):
        if text_in(item, "type") in _CHECKED and text_in(item, "call_id") not in calls:
            reason = f"the conversation has no call {text_in(item, 'call_id')!r}"
            raise InvalidRequest(reason, param=f"input[{index}].call_id")


async def _resolved(kept: CallersResponses, sent: object) -> list[object]:
    """Return the items that were sent, with references replaced by the stored items."""
    if not isinstance(sent, list):
        return [] if sent is None else [{"role": "user", "content": sent}]
    items: list[object] = []
    for index, given in enumerate(sent):
        item = given
        if is_reference(item):
            item = await kept.item(str(item.get("id")))
            if item is None:
                reason = f"the item {given.get('id')!r} is not kept here: send it whole, and store: false"
                raise InvalidRequest(reason, param=f"input[{index}]")
        items.append(item)
    return items
