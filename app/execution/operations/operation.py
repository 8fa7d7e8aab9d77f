"""How one target is asked, and what is read of its answer: the surfaces of Bedrock, one function each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct, field
from msgspec.structs import replace

from app.adaptation.adapted_request import AdaptedRequest
from app.bedrock.client import BedrockRequest
from app.bedrock.stream_decoding import UsageTap, tier_of_headers, usage_of_headers
from app.bedrock.transport import HttpResponse
from app.converse.call import NativeEvent
from app.converse.events import Event
from app.converse.reply import Reply
from app.converse.usage import Usage, tier_of
from app.errors import UpstreamFailed
from app.execution.relay import Relay
from app.execution.stream_readers import (
    DocumentReader,
    EventReader,
    NativeReader,
    TappedReader,
    UsageReader,
    refuse_failed,
    tier_told,
    told_by,
)
from app.models.ids import ModelId, parse_model_id
from app.observability.observer import RequestRecord
from app.wire import json

# a whole tool, in a namespace or not; what is said of one, such as how its arguments are to be streamed, is no tool
_TOOL = re.compile(r"tools\[[0-9]+\](\.tools\[[0-9]+\])*\Z")

T = TypeVar("T")
Made = TypeVar("Made")
Ask = Callable[[ModelId], BedrockRequest]

JSON = (("content-type", "application/json"),)


class Operation(Struct, Generic[T], frozen=True):
    """One way to ask one target.

    mode, surface: see the glossary. ask: the request for a model, by whichever name it is called. take: reads a
    successful answer as far as nothing has reached the caller yet. ignored, adjusted: as those of `AdaptedRequest`.
    tier: the service tier that is asked for. is_checked: a guardrail has looked at the input already.
    """

    mode: str
    surface: str
    ask: Ask
    take: Callable[[HttpResponse], Awaitable[T]]
    ignored: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)
    tier: str = ""
    is_checked: bool = False

    @property
    def content_lost(self) -> set[str]:
        """The tools of the caller's that do not reach the target, by the paths that are named as ignored."""
        return {path for path in self.ignored if _TOOL.match(path)}

    def then(self, make: Callable[[T], Made]) -> Operation[Made]:
        """The same way, with `make` applied to what it takes."""

        async def take(response: HttpResponse) -> Made:
            return make(await self.take(response))

        return Operation(
            self.mode, self.surface, self.ask, take, self.ignored, self.adjusted, self.tier, self.is_checked
        )

    def noting(self, ignored: list[str]) -> Operation[T]:
        """The same way, with more named that has no effect."""
        return replace(self, ignored=[*ignored, *self.ignored])


class Forwarded(Struct, frozen=True):
    """Bedrock's answer, word for word."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ForwardedStream(Struct, frozen=True):
    """Bedrock's streamed answer, its bytes on their way, and the tap that listens to them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    relay: Relay[bytes]
    tap: UsageTap


def converse(adapted: AdaptedRequest, record: RequestRecord) -> Operation[Reply]:
    """By Converse; the reply in the caller's terms."""

    async def take(response: HttpResponse) -> Reply:
        reply = await _take_reply(response)
        record.usage = Usage.of(_plain(reply["usage"]), _plain(reply.get("additionalModelResponseFields")))
        record.tier = tier_of(reply) or record.tier
        return adapted.mapping.reply(reply)

    ask = _to_model("converse", adapted.body)
    return Operation("translated", "converse", ask, take, adapted.ignored, adapted.adjusted, tier_of(adapted.body))


def converse_stream(adapted: AdaptedRequest, record: RequestRecord) -> Operation[Relay[list[Event]]]:
    """By ConverseStream; its events in the caller's terms, a batch for each read, once the first has come."""

    async def take(response: HttpResponse) -> Relay[list[Event]]:
        return await Relay(response, EventReader(adapted.mapping, record)).begun()

    ask = _to_model("converse-stream", adapted.body)
    return Operation("translated", "converse", ask, take, adapted.ignored, adapted.adjusted, tier_of(adapted.body))


def invoke(
    body: dict[str, Any], usage_of: Callable[[HttpResponse, dict[str, Any]], Usage | None], record: RequestRecord
) -> Operation[dict[str, Any]]:
    """By InvokeModel, with a body of the model's own format; the document that it answers.

    Args:
        usage_of: reads the tokens that the answer tells of.
    """

    async def take(response: HttpResponse) -> dict[str, Any]:
        document = await read_document(response)
        record.usage, record.tier = usage_of(response, document), tier_of_headers(response.headers) or record.tier
        return document

    return Operation("native", "invoke", _to_model("invoke", body), take)


def invoke_stream(
    body: dict[str, Any], usage_of: UsageReader, last: str, record: RequestRecord
) -> Operation[Relay[list[NativeEvent]]]:
    """By InvokeModelWithResponseStream; its events, a batch for each read, once the first has come.

    Args:
        usage_of: reads the tokens that a document tells of. last: the `type` of the document that completes a message.
    """

    async def take(response: HttpResponse) -> Relay[list[NativeEvent]]:
        record.tier = tier_of_headers(response.headers) or record.tier
        return await Relay(response, NativeReader(last, usage_of, record)).begun()

    return Operation("native", "invoke", _to_model("invoke-with-response-stream", body), take)


def openai(
    surface: str, ask: Ask, usage_of: UsageReader, record: RequestRecord, tier: str = ""
) -> Operation[dict[str, Any]]:
    """By a surface that speaks OpenAI; the document that it answers.

    Args:
        usage_of: reads the tokens that a document tells of.
    """

    async def take(response: HttpResponse) -> dict[str, Any]:
        document = await read_document(response)
        record.usage, record.tier = told_by(usage_of, document), tier_told(document) or record.tier
        refuse_failed(document)
        return document

    return Operation("native", surface, ask, take, tier=tier)


def openai_stream(
    surface: str, ask: Ask, usage_of: UsageReader, last: frozenset[str], record: RequestRecord, tier: str = ""
) -> Operation[Relay[list[dict[str, Any]]]]:
    """The same as a stream; its documents, a batch for each read, once the first has come.

    Args:
        last: the `type` of the documents that complete an answer.
    """

    async def take(response: HttpResponse) -> Relay[list[dict[str, Any]]]:
        return await Relay(response, DocumentReader(last, usage_of, record)).begun()

    return Operation("native", surface, ask, take, tier=tier)


def count_tokens(model: ModelId, counted: dict[str, Any]) -> Operation[int]:
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

    return Operation("native", "count-tokens", lambda _: ask(base), take)


async def take_forwarded(response: HttpResponse) -> Forwarded:
    """An answer, untouched."""
    return Forwarded(response.status, response.headers, await response.read())


def take_forwarded_stream(record: RequestRecord) -> Callable[[HttpResponse], Awaitable[ForwardedStream]]:
    """An answer's bytes as they arrive, once the first has."""

    async def take(response: HttpResponse) -> ForwardedStream:
        tap = UsageTap()

        def note() -> None:
            record.usage, record.tier = tap.usage, tap.tier or record.tier
            if tap.error is not None:
                record.error, record.detail = tap.error.kind, tap.error.detail

        relay = await Relay(response, TappedReader(tap), note).begun()
        return ForwardedStream(response.status, response.headers, relay, tap)

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


def usage_or_headers(usage_of: UsageReader) -> Callable[[HttpResponse, dict[str, Any]], Usage | None]:
    """Reads the tokens of an answer in its document, or else in its headers, which say less of the cache."""
    return lambda response, document: usage_of(document) or usage_of_headers(response.headers)
