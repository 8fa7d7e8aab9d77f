"""One chat request, and its translation to calls and back."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import ClassVar

from msgspec import Struct

from app.converse.call import ModelCall, NativeCall
from app.converse.openai_documents import usage_of_completion
from app.dialects.http.dialect_adapter import NativeRequest, TranslatedRequest
from app.dialects.http.documents import model_name_of, validate
from app.dialects.http.responses import Headers
from app.dialects.openai.chat import native
from app.dialects.openai.chat.plain import read_plain
from app.dialects.openai.chat.response import ChatResponseContext, from_reply
from app.dialects.openai.chat.stream import ChunkStream
from app.dialects.openai.common.errors import error_body
from app.errors import GatewayError
from app.execution.operations.openai import OpenAIFormat
from app.execution.request_context import RequestContext
from app.routing.planner import BodyFormat, Planner, Target
from app.wire import sse
from app.wire.json import JsonObject

_NO_NAMES: frozenset[str] = frozenset()


class ChatAdapter(Struct):
    """One chat request; see `DialectAdapter`. known_as: the model's name in responses."""

    body_format: ClassVar[BodyFormat] = "openai_chat"
    openai_api: ClassVar[OpenAIFormat | None] = "openai_chat"
    last_events: ClassVar[frozenset[str]] = frozenset()
    idle: ClassVar[bytes] = sse.COMMENT
    needs_schema: ClassVar[bool] = False
    headers: ClassVar[Headers] = ()
    complete: ClassVar[None] = None

    model: str
    document: JsonObject
    known_as: str

    @classmethod
    async def for_request(cls, planner: Planner, _context: RequestContext, document: JsonObject) -> ChatAdapter:
        """Make the adapter of a request. Raises InvalidRequest if `model` is not a string."""
        model = model_name_of(document)
        return cls(model, document, planner.known_as(model))

    def to_call(self, _target: Target) -> TranslatedRequest:
        """See `DialectAdapter`. The call is not kept: it holds each image of a `data:` URL once more."""
        plain = read_plain(self.document)
        if plain is not None:
            call, include_usage, custom_tools = plain.to_call(), plain.include_usage, _NO_NAMES
        else:
            call, include_usage, custom_tools = _validated(self.document)
        response_context = ChatResponseContext(
            "chatcmpl-" + os.urandom(12).hex(), int(time.time()), self.known_as, custom_tools, include_usage
        )
        return TranslatedRequest(
            call,
            partial(from_reply, response_context=response_context),
            partial(ChunkStream, response_context),
        )

    def to_native(self, _target: Target) -> NativeRequest:
        options = self.document.get("stream_options")
        include_usage = isinstance(options, dict) and options.get("include_usage") is True
        return NativeRequest(
            NativeCall(self.model, self.document),
            partial(native.from_document, model=self.known_as),
            partial(native.NativeChunks, self.known_as, include_usage=include_usage),
            usage_of_completion,
        )

    def fail(self, error: GatewayError) -> bytes:
        return sse.data_frame(error_body(error))

    async def finish(self, stream: native.NativeChunks | ChunkStream) -> bytes:
        return stream.finish()


def _validated(document: JsonObject) -> tuple[ModelCall, bool, frozenset[str]]:
    """Validate a request that is not plain.

    Returns:
        Its call, whether a stream ends with its usage, and the names of its custom tools.
    """
    # plain requests, and gateways without this dialect, need none of it
    from app.dialects.openai.chat.request import to_call
    from app.dialects.openai.chat.schema_in import ChatRequest
    from app.dialects.openai.chat.tools import custom_names

    request = validate(document, ChatRequest)
    include_usage = bool(request.stream_options and request.stream_options.include_usage)
    return to_call(request), include_usage, custom_names(request) if request.tools else _NO_NAMES
