"""How one target is asked, and what is read of its answer: the surfaces of Bedrock, one function each."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from app.bedrock.client import BedrockRequest
from app.bedrock.decode import (
    EventDecoder,
    NativeDecoder,
    ServerSentDecoder,
    UsageTap,
    tier_of_headers,
    usage_of_headers,
    usage_of_invocation,
)
from app.bedrock.errors import error_of_openai
from app.bedrock.transport import HttpResponse
from app.converse.call import NativeEvent
from app.converse.events import Event
from app.converse.reply import Reply
from app.converse.usage import Usage, tier_of
from app.errors import GatewayError, UpstreamFailed
from app.kit import json
from app.kit.aiter import started
from app.kit.values import Struct, field, replace
from app.models.ids import ModelId, parse_model_id
from app.tailor.draft import Draft
from app.tailor.undo import EventUndo, Undo
from app.telemetry.observer import RequestRecord

_AFTER_THE_END = 0.5
# a whole tool, in a namespace or not; what is said of one, such as how its arguments are to be streamed, is no tool
_TOOL = re.compile(r"tools\[[0-9]+\](\.tools\[[0-9]+\])*\Z")

T = TypeVar("T")
Made = TypeVar("Made")
UsageReader = Callable[[dict[str, Any]], Usage | None]
Ask = Callable[[ModelId], BedrockRequest]

JSON = (("content-type", "application/json"),)


class Way(Struct, Generic[T], frozen=True):
    """One way to ask one target.

    lane, surface: see the glossary. ask: the request for a model, by whichever name it is called. take: reads a
    successful answer as far as nothing has reached the caller yet. ignored, repaired: as those of `Draft`. tier: the
    service tier that is asked for. is_checked: a guardrail has looked at the input already.
    """

    lane: str
    surface: str
    ask: Ask
    take: Callable[[HttpResponse], Awaitable[T]]
    ignored: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    tier: str = ""
    is_checked: bool = False

    @property
    def content_lost(self) -> set[str]:
        """The tools of the caller's that do not reach the target, by the paths that are named as ignored."""
        return {path for path in self.ignored if _TOOL.match(path)}

    def then(self, make: Callable[[T], Made]) -> Way[Made]:
        """The same way, with `make` applied to what it takes."""

        async def take(response: HttpResponse) -> Made:
            return make(await self.take(response))

        return Way(self.lane, self.surface, self.ask, take, self.ignored, self.repaired, self.tier, self.is_checked)

    def noting(self, ignored: list[str]) -> Way[T]:
        """The same way, with more named that has no effect."""
        return replace(self, ignored=[*ignored, *self.ignored])


class Forwarded(Struct, frozen=True):
    """Bedrock's answer, word for word."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ForwardedStream(Struct, frozen=True):
    """Bedrock's streamed answer, its bytes as they arrive, and the tap that listens to them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: AsyncGenerator[bytes, None]
    tap: UsageTap


def converse(draft: Draft, record: RequestRecord) -> Way[Reply]:
    """By Converse; the reply in the caller's terms."""

    async def take(response: HttpResponse) -> Reply:
        reply = await _take_reply(response)
        record.usage = Usage.of(_plain(reply["usage"]), _plain(reply.get("additionalModelResponseFields")))
        record.tier = tier_of(reply) or record.tier
        return draft.undo.reply(reply)

    ask = _to_model("converse", draft.body)
    return Way("translated", "converse", ask, take, draft.ignored, draft.repaired, tier_of(draft.body))


def converse_stream(draft: Draft, record: RequestRecord) -> Way[AsyncGenerator[list[Event], None]]:
    """By ConverseStream; its events in the caller's terms, a batch for each read, once the first has come."""

    async def take(response: HttpResponse) -> AsyncGenerator[list[Event], None]:
        return await started(_read_events(response, draft.undo, record))

    ask = _to_model("converse-stream", draft.body)
    return Way("translated", "converse", ask, take, draft.ignored, draft.repaired, tier_of(draft.body))


def invoke(
    body: dict[str, Any], usage_of: Callable[[HttpResponse, dict[str, Any]], Usage | None], record: RequestRecord
) -> Way[dict[str, Any]]:
    """By InvokeModel, with a body of the model's own format; the document that it answers.

    Args:
        usage_of: reads the tokens that the answer tells of.
    """

    async def take(response: HttpResponse) -> dict[str, Any]:
        document = await read_document(response)
        record.usage, record.tier = usage_of(response, document), tier_of_headers(response.headers) or record.tier
        return document

    return Way("native", "invoke", _to_model("invoke", body), take)


def invoke_stream(
    body: dict[str, Any], usage_of: UsageReader, last: str, record: RequestRecord
) -> Way[AsyncGenerator[list[NativeEvent], None]]:
    """By InvokeModelWithResponseStream; its events, a batch for each read, once the first has come.

    Args:
        usage_of: reads the tokens that a document tells of. last: the `type` of the document that completes a message.
    """

    async def take(response: HttpResponse) -> AsyncGenerator[list[NativeEvent], None]:
        record.tier = tier_of_headers(response.headers) or record.tier
        return await started(_read_native(response, last, usage_of, record))

    return Way("native", "invoke", _to_model("invoke-with-response-stream", body), take)


def openai(surface: str, ask: Ask, usage_of: UsageReader, record: RequestRecord, tier: str = "") -> Way[dict[str, Any]]:
    """By a surface that speaks OpenAI; the document that it answers.

    Args:
        usage_of: reads the tokens that a document tells of.
    """

    async def take(response: HttpResponse) -> dict[str, Any]:
        document = await read_document(response)
        record.usage, record.tier = _read(usage_of, document), _tier_told(document) or record.tier
        _refuse_failed(document)
        return document

    return Way("native", surface, ask, take, tier=tier)


def openai_stream(
    surface: str, ask: Ask, usage_of: UsageReader, last: frozenset[str], record: RequestRecord, tier: str = ""
) -> Way[AsyncGenerator[list[dict[str, Any]], None]]:
    """The same as a stream; its documents, a batch for each read, once the first has come.

    Args:
        last: the `type` of the documents that complete an answer.
    """

    async def take(response: HttpResponse) -> AsyncGenerator[list[dict[str, Any]], None]:
        return await started(_read_server_sent(response, last, usage_of, record))

    return Way("native", surface, ask, take, tier=tier)


def count_tokens(model: ModelId, counted: dict[str, Any]) -> Way[int]:
    """By CountTokens, which counts by base id only.

    Args:
        counted: the `input` of CountTokens.
    """
    ask, base = _to_model("count-tokens", {"input": counted}), parse_model_id(model.base)

    async def take(response: HttpResponse) -> int:
        tokens = (await read_document(response)).get("inputTokens")
        if not isinstance(tokens, int):
            raise UpstreamFailed("Bedrock's count of tokens made no sense", detail="no inputTokens")
        return tokens

    return Way("native", "count-tokens", lambda _: ask(base), take)


async def take_forwarded(response: HttpResponse) -> Forwarded:
    """An answer, untouched."""
    return Forwarded(response.status, response.headers, await response.read())


def take_forwarded_stream(record: RequestRecord) -> Callable[[HttpResponse], Awaitable[ForwardedStream]]:
    """An answer's bytes as they arrive, once the first has; the generator raises where the stream breaks."""

    async def take(response: HttpResponse) -> ForwardedStream:
        tap = UsageTap()
        chunks = await started(_tapped(response, tap, record))
        return ForwardedStream(response.status, response.headers, chunks, tap)

    return take


def _to_model(operation: str, body: Any) -> Ask:
    data = json.dumps(body)

    def ask(model: ModelId) -> BedrockRequest:
        return BedrockRequest("bedrock-runtime", "POST", f"/model/{model.quoted}/{operation}", headers=JSON, body=data)

    return ask


def _plain(document: Any) -> dict[str, Any]:
    """What its TypedDict would let nobody read by name."""
    return cast(dict[str, Any], document)


async def _take_reply(response: HttpResponse) -> Reply:
    body = await response.read()
    try:
        reply = json.loads(body)
        _check_reply(reply)
    except (json.JsonError, LookupError, TypeError) as error:
        raise UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__) from None
    return cast(Reply, reply)


async def read_document(response: HttpResponse) -> dict[str, Any]:
    """The object that an answer is.

    Raises:
        UpstreamFailed: it is none.
    """
    try:
        document = json.loads(await response.read())
    except json.JsonError as error:
        raise UpstreamFailed("Bedrock's reply made no sense", detail=type(error).__name__) from None
    if not isinstance(document, dict):
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no object")
    return document


def _check_reply(reply: Any) -> None:
    """What translation relies on must be there; everything else may be missing."""
    if not isinstance(reply["stopReason"], str) or not isinstance(reply["usage"], dict):
        raise TypeError
    for block in reply["output"]["message"]["content"]:
        if "toolUse" in block:
            tool = block["toolUse"]
            tool["toolUseId"], tool["name"], tool["input"]


async def _read_events(response: HttpResponse, undo: Undo, record: RequestRecord) -> AsyncGenerator[list[Event], None]:
    decoder = EventDecoder()
    undoing = EventUndo(undo) if undo.is_needed else None
    more: Any = None
    try:
        async for data in response.chunks():
            events = decoder.feed(data)
            for event in events:
                if "metadata" in event:
                    record.usage = Usage.of(_plain(event["metadata"]["usage"]), more)
                    record.tier = tier_of(event["metadata"]) or record.tier
                elif "messageStop" in event:
                    more = event["messageStop"].get("additionalModelResponseFields")
            if undoing is not None:
                events = undoing.feed(events)
            if events:
                yield events
        decoder.finish()
    finally:
        response.close()


async def _read_native(
    response: HttpResponse, last: str, usage_of: UsageReader, record: RequestRecord
) -> AsyncGenerator[list[NativeEvent], None]:
    decoder = NativeDecoder(last)
    try:
        async for data in response.chunks():
            events = decoder.feed(data)
            for document, _ in events:
                record.usage = usage_of(document) or record.usage or usage_of_invocation(document)
            if events:
                yield events
        decoder.finish()
    finally:
        response.close()


async def _read_server_sent(
    response: HttpResponse, last: frozenset[str], usage_of: UsageReader, record: RequestRecord
) -> AsyncGenerator[list[dict[str, Any]], None]:
    decoder = ServerSentDecoder(last)
    has_begun = False
    try:
        chunks = response.chunks()
        async for data in chunks:
            documents = decoder.feed(data)
            for document in documents:
                record.usage = _read(usage_of, document) or record.usage
                record.tier = _tier_told(document) or record.tier
            if not has_begun and documents:
                # until something of an answer has come it can still be asked for again
                has_begun = True
                _refuse_failed(documents[0].get("response"))
            if documents:
                yield documents
            if decoder.is_complete:
                # read to its end a connection stays usable; but the answer does not depend on how it ends
                with contextlib.suppress(GatewayError, TimeoutError):
                    async with asyncio.timeout(_AFTER_THE_END):
                        async for _ in chunks:
                            pass
                break
        decoder.finish()
    finally:
        response.close()


def _refuse_failed(response: Any) -> None:
    """Raises what a response that failed tells of: it has no other status than 200 (contracts 2.1)."""
    if isinstance(response, dict) and response.get("status") == "failed" and isinstance(response.get("error"), dict):
        raise error_of_openai(response["error"])


def _tier_told(document: dict[str, Any]) -> str:
    """The tier that a completion, a response, or an event with one, says it was served by; `auto` is none yet."""
    match document:
        case {"response": {"service_tier": str(tier)}} | {"service_tier": str(tier)}:
            return "" if tier == "auto" else tier
        case _:
            return ""


def _read(usage_of: UsageReader, document: dict[str, Any]) -> Usage | None:
    """The tokens that a document tells of; one that tells of them oddly is still an answer."""
    try:
        return usage_of(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def usage_or_headers(usage_of: UsageReader) -> Callable[[HttpResponse, dict[str, Any]], Usage | None]:
    """Reads the tokens of an answer in its document, or else in its headers, which say less of the cache."""
    return lambda response, document: usage_of(document) or usage_of_headers(response.headers)


async def _tapped(response: HttpResponse, tap: UsageTap, record: RequestRecord) -> AsyncGenerator[bytes, None]:
    try:
        async for data in response.chunks():
            tap.feed(data)
            yield data
        if not tap.is_at_boundary and not tap.is_deaf:
            raise UpstreamFailed("Bedrock's stream ended in the middle of an event", detail="ended early")
        if tap.is_cut_short:
            raise UpstreamFailed("Bedrock's stream ended too early", detail="ended early")
    finally:
        record.usage, record.tier = tap.usage, tap.tier or record.tier
        if tap.error is not None:
            record.error, record.detail = tap.error.kind, tap.error.detail
        response.close()
