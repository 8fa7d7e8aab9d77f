"""What a translating dialect implements, so that one handler serves all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from app.converse.call import ModelCall, NativeCall
from app.converse.reply import Reply
from app.dialects.http.responses import Headers
from app.errors import GatewayError
from app.execution.operations.openai import OpenAIFormat
from app.execution.operations.operation import UsageReader
from app.routing.planner import BodyFormat, Target
from app.wire.json import JsonObject


class StreamTranslator(Protocol):
    """Translates one stream into the bytes of a dialect."""

    def from_event(self, event: Any) -> bytes:
        """Return the bytes for one event of the upstream."""
        ...

    def fail(self, error: GatewayError) -> bytes | None:
        """Return the bytes that end a stream after an error; None if the connection must be cut."""
        ...


class TranslatedRequest(Struct, frozen=True):
    """A request as a Converse call, and the translators of its response."""

    call: ModelCall
    from_reply: Callable[[Reply], JsonObject]
    open_stream: Callable[[], StreamTranslator]


class NativeRequest(Struct, frozen=True):
    """A request in the format of the target's own surface, and the translators of its response.

    usage_of: reads the tokens from a document of the response.
    """

    call: NativeCall
    from_document: Callable[[JsonObject], JsonObject]
    open_stream: Callable[[], StreamTranslator]
    usage_of: UsageReader


class DialectAdapter(Protocol):
    """One request of a dialect.

    body_format: the dialect's format in `Capabilities.native`. openai_api: the API of OpenAI's that takes this format;
    None where InvokeModel does. last_events: types of the native events that complete a response. idle: sent when a
    stream is silent. model: as the caller named it. document: the whole request, of which tokens are estimated.
    needs_schema: the response must match a JSON schema. headers: added to every response.
    complete: finishes a complete response before it is sent; None if there is nothing to do.
    """

    body_format: ClassVar[BodyFormat]
    openai_api: ClassVar[OpenAIFormat | None]
    last_events: ClassVar[frozenset[str]]
    idle: ClassVar[bytes]

    @property
    def model(self) -> str: ...

    @property
    def document(self) -> JsonObject: ...

    @property
    def needs_schema(self) -> bool: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def complete(self) -> Callable[[JsonObject], Awaitable[JsonObject]] | None: ...

    def to_call(self, target: Target) -> TranslatedRequest:
        """Translate the request for Converse. Raises InvalidRequest."""
        ...

    def to_native(self, target: Target) -> NativeRequest:
        """Prepare the request for a surface that takes the dialect's own format. Raises InvalidRequest."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """Return the bytes that end a stream which failed before its first event."""
        ...

    async def finish(self, stream: Any) -> bytes:
        """Return the last bytes of a stream that succeeded. Raises UpstreamFailed if its message is incomplete."""
        ...
