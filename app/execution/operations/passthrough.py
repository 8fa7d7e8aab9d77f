"""A caller's own request to Bedrock, whose response crosses byte for byte."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, ClassVar, Literal, TypedDict, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app.bedrock.client import BedrockRequest
from app.bedrock.reported_usage import UsageTap, tier_of_headers, usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.call import Mode
from app.converse.guardrail_units import TRACE, units_in, units_of
from app.converse.usage import Usage, tier_of
from app.errors import UpstreamFailed
from app.execution.operations.operation import HELD_STEP, Operation, read_large
from app.execution.relay import Relay
from app.models.ids import ModelId, parse_model_id
from app.observability.observer import AttemptContext
from app.wire import json

T = TypeVar("T")

UsageIn = Literal["", "body", "headers", "guardrail"]
_TRACE = f'"{TRACE}"'.encode()


class _Priced(TypedDict, total=False):
    """The members of Converse's reply that determine its price; nothing else becomes an object."""

    additionalModelResponseFields: Any
    performanceConfig: Any
    serviceTier: Any
    trace: Any
    usage: Any


_read_priced = json.reader_of(_Priced)


class ForwardedResponse(Struct, frozen=True):
    """Bedrock's complete response, byte for byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ForwardedStream(Struct, frozen=True):
    """Bedrock's streamed response: its bytes as they arrive, and the tap that reads them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    relay: Relay[bytes]
    tap: UsageTap


class Passthrough(Operation[T], frozen=True, kw_only=True):
    """A caller's own request.

    request: as it came. is_renamed: the deployment gave the name in its path, so the model replaces it.
    counts_tokens: it is CountTokens, which takes base ids only.
    """

    mode: Mode = Mode.PASSTHROUGH
    request: BedrockRequest
    is_renamed: bool = False
    counts_tokens: bool = False

    def build(self, model: ModelId) -> BedrockRequest:
        if not self.is_renamed:
            return self.request
        called = parse_model_id(model.base) if self.counts_tokens else model
        # a name is one segment of the path that is sent, and may have been several
        _, root, *_, action = self.request.path.split("/")
        return replace(self.request, path=f"/{root}/{called.quoted}/{action}")


class ForwardedBody(Struct, frozen=True):
    """Bedrock's complete response, passed on as it arrives since it is large. length: of the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    relay: Relay[bytes]
    length: int


class PassthroughOperation(Passthrough[ForwardedResponse | ForwardedBody], frozen=True, kw_only=True):
    """A request with a complete response. usage_in: where the response reports its tokens."""

    usage_in: UsageIn = ""

    def streamed(self) -> PassthroughStreamOperation:
        """Return the operation for the same request with a streamed response."""
        return PassthroughStreamOperation(
            surface=self.surface,
            request=self.request,
            is_renamed=self.is_renamed,
            tier=self.tier,
            ignored=self.ignored,
            adjusted=self.adjusted,
        )

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> ForwardedResponse | ForwardedBody:
        if attempt.length >= HELD_STEP and self.usage_in in ("", "headers"):
            attempt.usage = usage_of_headers(response.headers) if self.usage_in else None
            attempt.tier = tier_of_headers(response.headers) or self.tier
            relay = await Relay(response, UnreadBytes()).begun()
            return ForwardedBody(response.status, response.headers, relay, attempt.length)
        body = await (response.read() if 0 <= attempt.length < HELD_STEP else read_large(response, attempt))
        forwarded = ForwardedResponse(response.status, response.headers, body)
        attempt.usage, tier = read_usage_and_tier(self.usage_in, forwarded)
        attempt.tier = tier or self.tier
        return forwarded


class PassthroughStreamOperation(Passthrough[ForwardedStream], frozen=True, kw_only=True):
    """A request with a streamed response."""

    is_streamed: ClassVar[bool] = True

    async def parse(self, response: HttpResponse, attempt: AttemptContext) -> ForwardedStream:
        attempt.tier = tier_of_headers(response.headers) or self.tier
        tap = UsageTap()
        relay = await Relay(response, TappedReader(tap), attempt, partial(_end, attempt, tap)).begun()
        return ForwardedStream(response.status, response.headers, relay, tap)


def _end(attempt: AttemptContext, tap: UsageTap) -> None:
    attempt.usage, attempt.tier, attempt.stream_error = tap.usage, tap.tier or attempt.tier, tap.error
    attempt.on_stream_end(attempt)


def read_usage_and_tier(usage_in: UsageIn, response: ForwardedResponse) -> tuple[Usage | None, str]:
    """Read the tokens of a response and the tier that they are charged by, as far as it reports them."""
    if usage_in == "headers":
        usage = usage_of_headers(response.headers)
        has_trace = _TRACE in response.body
        if usage is not None and (usage.cache_write or has_trace or b'"iterations"' in response.body):
            with contextlib.suppress(json.JsonError):
                document = json.loads(response.body)
                usage = usage.with_details_of(document)
                if has_trace and isinstance(document, dict):
                    usage = replace(usage, guardrail_units=units_in(document.get(TRACE)))
        return usage, tier_of_headers(response.headers)
    if usage_in == "body":
        try:  # `contextlib.suppress` takes ten times as long
            reply = _read_priced(response.body)
            usage = Usage.of(reply["usage"], reply.get("additionalModelResponseFields"))
            if "trace" in reply:
                usage = replace(usage, guardrail_units=units_in(reply["trace"]))
            return usage, tier_of(reply)
        except (json.JsonError, KeyError, TypeError, AttributeError):
            return None, ""
    if usage_in == "guardrail":
        with contextlib.suppress(json.JsonError, AttributeError):
            return Usage(guardrail_units=units_of(json.loads(response.body).get("usage"))), ""
    return None, ""


class UnreadBytes:
    """Passes bytes on; the head of their response tells where they end."""

    is_over = False

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> None:
        pass


class TappedReader:
    """Passes bytes on and shows them to a tap.

    Args:
        tap: reads the usage, and knows whether the stream is complete.
    """

    is_over = False

    def __init__(self, tap: UsageTap) -> None:
        self._tap = tap

    def feed(self, data: bytes) -> bytes:
        self._tap.feed(data)
        return data

    def finish(self) -> None:
        if not self._tap.is_at_boundary and not self._tap.has_failed:
            raise UpstreamFailed("Bedrock's stream ended in the middle of an event", detail="ended early")
        if self._tap.is_incomplete:
            raise UpstreamFailed("Bedrock's stream ended too early", detail="ended early")
