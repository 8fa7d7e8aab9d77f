"""One request for a message, and its translation to calls and back."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from functools import partial
from typing import ClassVar, Self

from msgspec import Struct
from msgspec.structs import replace

from app.converse.call import NativeCall
from app.dialects.anthropic.errors import error_body
from app.dialects.anthropic.native import NativeStream, UsageOfMessages, from_document
from app.dialects.anthropic.normalization import OBSOLETE_BETAS, has_schema
from app.dialects.anthropic.response import from_reply
from app.dialects.anthropic.response_context import MessageResponseContext
from app.dialects.anthropic.stream import PING, EventStream
from app.dialects.http.dialect_adapter import NativeRequest, TranslatedRequest
from app.dialects.http.documents import model_name_of, validate
from app.dialects.http.responses import Headers
from app.errors import GatewayError, InvalidRequest
from app.execution.executor import Executor
from app.execution.operations.openai import OpenAIFormat
from app.execution.request_context import RequestContext
from app.routing.planner import BodyFormat, Target
from app.wire.json import JsonObject
from app.wire.sse import named_frame


class MessagesAdapter(Struct):
    """One request for a message; see `DialectAdapter`."""

    body_format: ClassVar[BodyFormat] = "anthropic"
    openai_api: ClassVar[OpenAIFormat | None] = None
    last_events: ClassVar[frozenset[str]] = frozenset({"message_stop"})
    idle: ClassVar[bytes] = PING
    complete: ClassVar[None] = None

    model: str
    document: JsonObject
    headers: Headers
    needs_schema: bool
    _version: str
    _betas: list[str]
    _response_context: MessageResponseContext

    @classmethod
    async def for_request(cls, executor: Executor, context: RequestContext, document: JsonObject) -> Self:
        """Make the adapter of a request. Raises InvalidRequest if `model` is not a string."""
        model, request_id = model_name_of(document), context.record.request_id
        named = context.head.headers.get("anthropic-beta")
        return cls(
            model,
            document,
            (("request-id", request_id),),
            has_schema(document),
            context.head.headers.get("anthropic-version", ""),
            _betas_in(named, executor.planner.betas) if named else [],
            MessageResponseContext("", executor.planner.known_as(model), request_id),
        )

    def to_call(self, _target: Target) -> TranslatedRequest:
        return self._translate(self.document)

    def to_native(self, _target: Target) -> NativeRequest:
        length = self.document.get("max_tokens")
        # 0 only warms the cache
        if length is not None and (type(length) is not int or length < 0):
            raise InvalidRequest("max_tokens: must be an integer of at least 0", param="max_tokens")
        return self._pass_on(self.document)

    def fail(self, error: GatewayError) -> bytes:
        return named_frame("error", error_body(error, self._response_context.request_id))

    async def finish(self, stream: NativeStream | EventStream) -> bytes:
        return stream.finish()

    def _translate(self, document: JsonObject) -> TranslatedRequest:
        # the native mode, and gateways without this dialect, need none of it
        from app.dialects.anthropic.request import to_call
        from app.dialects.anthropic.schema_in import MessagesRequest

        call = to_call(validate(document, MessagesRequest), self._betas)
        response_context = replace(self._response_context, id="msg_" + secrets.token_hex(12))
        return TranslatedRequest(
            call,
            partial(from_reply, response_context=response_context),
            partial(EventStream, response_context),
        )

    def _pass_on(self, document: JsonObject) -> NativeRequest:
        return NativeRequest(
            NativeCall(self.model, document, self._version, self._betas),
            partial(from_document, response_context=self._response_context),
            partial(NativeStream, self._response_context),
            UsageOfMessages(),
        )


class CountedMessagesAdapter(MessagesAdapter):
    """A request whose tokens are counted, which need not limit the tokens of a response."""

    def to_call(self, _target: Target) -> TranslatedRequest:
        return self._translate({**self.document, "max_tokens": 1})

    def to_native(self, _target: Target) -> NativeRequest:
        # the thinking budget must be less than max_tokens
        thinking = self.document.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        return self._pass_on({**self.document, "max_tokens": (budget if isinstance(budget, int) else 0) + 1})


def _betas_in(header: str, passed: Collection[str]) -> list[str]:
    """Return the betas that a header names, without those that are obsolete, unless this deployment passes them."""
    named = [beta.strip() for beta in header.split(",")]
    return [beta for beta in named if beta and (beta not in OBSOLETE_BETAS or beta in passed)]
