"""One request for a response, and its translation to calls and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from app.converse.call import NativeCall
from app.dialects.http.dialect_adapter import NativeRequest, TranslatedRequest
from app.dialects.http.documents import validate
from app.dialects.http.handler import translate
from app.dialects.http.responses import Headers
from app.dialects.openai.responses.native import (
    LAST,
    NativeResponseContext,
    NativeResponseStream,
    from_document,
    to_native,
    usage_of,
)
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request import KEPT, SIGNED, refuse, to_call
from app.dialects.openai.responses.response import from_reply
from app.dialects.openai.responses.response_context import ResponseContext
from app.dialects.openai.responses.schema_in import Item, ResponseHead, ResponseRequest, is_reference
from app.dialects.openai.responses.stored import CallersResponses
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import custom_names, namespaces
from app.errors import InvalidRequest
from app.execution.operations.openai import OpenAIFormat
from app.execution.request_context import RequestContext
from app.routing.planner import BodyFormat, Planner, Target
from app.storage.responses import ResponseStore
from app.wire import sse
from app.wire.json import JsonObject


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
        signer_for: Callable[[Target], ReasoningSigner],
    ) -> None:
        self.model = head.model
        self.document = {**document, "input": [*earlier, *sent]}
        self._sent_document = document
        self._earlier, self._sent = earlier, sent
        self._kept = kept
        self._signer_for = signer_for
        self._is_kept = head.store is not False
        # a stored response must hold its reasoning, so that the conversation can continue from it
        self._is_signed = self._is_kept or SIGNED in (head.include or ())
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
    ) -> ResponsesAdapter:
        """Read what the request refers to from the store.

        Raises:
            InvalidRequest: it refers to what is not stored, or needs OpenAI's own servers. Overloaded.
        """
        head = validate(document, ResponseHead)
        refuse(head)
        kept = CallersResponses(store, context)
        earlier = await _earlier(kept, head.previous_response_id)
        sent = await _resolved(kept, head.input)
        caller = context.caller.name

        def signer_for(target: Target) -> ReasoningSigner:
            return ReasoningSigner(secrets_of(caller), caller, target.known.base)

        return cls(head, document, earlier, sent, planner.known_as(head.model), kept, signer_for)

    def to_call(self, target: Target) -> TranslatedRequest:
        if self._validated is None:
            request = validate(self._sent_document, ResponseRequest)
            self._validated = request, _items(self._sent, "input"), _items(self._earlier, KEPT)
        request, sent, earlier = self._validated
        signer = self._signer_for(target)
        reasoning_signer = signer if self._is_signed else None
        names = custom_names(request), namespaces(request)
        response_context = ResponseContext(*self._response_head, request, self._sent_document, reasoning_signer, *names)
        call = to_call(request, signer, sent, earlier)
        return TranslatedRequest(
            call, partial(from_reply, response_context=response_context), partial(ResponseStream, response_context)
        )

    def to_native(self, target: Target) -> NativeRequest:
        signer, document = self._signer_for(target), self._sent_document
        items = [(KEPT, item) for item in self._earlier]
        items += [(f"input[{index}]", item) for index, item in enumerate(self._sent)]
        body, spaces, paths, ignored = to_native(document, items, signer)
        response_context = NativeResponseContext(self._response_head[2], document, signer, spaces, self._is_kept)
        return NativeRequest(
            NativeCall(self.model, body, keep_reasoning=self._is_signed, tool_paths=paths, ignored=ignored),
            partial(from_document, response_context=response_context),
            partial(NativeResponseStream, response_context),
            usage_of,
        )

    async def complete(self, response: JsonObject) -> JsonObject:
        return await self._kept.keep(response, [*self._earlier, *self._sent])

    async def finish(self, stream: ResponseStream | NativeResponseStream) -> bytes:
        response = translate(_ended, stream)
        # the caller may refer to the response as soon as it has read the end
        return stream.last(await self.complete(response))


def _ended(stream: ResponseStream | NativeResponseStream) -> JsonObject:
    return stream.ended()


def _items(raw: list[object], param: str) -> list[Item]:
    """Validate items for translation. Raises InvalidRequest; its `param` names the source of the items."""
    try:
        items = validate({"input": raw}, ResponseRequest).input
    except InvalidRequest as error:
        if param == KEPT:
            raise InvalidRequest(error.message, param=KEPT) from None
        raise
    return list(items) if not isinstance(items, str) else []


async def _earlier(kept: CallersResponses, response_id: str | None) -> list[object]:
    items = [] if response_id is None else await kept.conversation(response_id)
    if items is None:
        reason = f"the response {response_id!r} is not kept here: send its items"
        raise InvalidRequest(reason, param="previous_response_id")
    return items


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
