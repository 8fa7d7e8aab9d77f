"""Runs calls: `complete` and `stream` translated, `invoke` and `invoke_stream` native, the `forward`s untouched."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast
from urllib.parse import quote, unquote

from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.decode import DocumentDecoder, EventDecoder, UsageTap, usage_of_headers, usage_of_invocation
from app.bedrock.transport import HttpResponse, read_body
from app.converse.call import ModelCall, NativeCall
from app.converse.events import Event
from app.converse.reply import Reply
from app.converse.usage import Usage
from app.errors import GatewayError, ModelNotFound, PermissionRefused, ProfileRequired, UpstreamFailed
from app.kit import json
from app.kit.aiter import started
from app.kit.clock import Deadline
from app.models.ids import ModelId, parse_model_id
from app.pipeline.exchange import Exchange
from app.routing.plan import DEFAULT_ALIAS, Planner, Target
from app.tailor import Draft, tailor
from app.tailor.invoke import tailor_invoke
from app.tailor.undo import EventUndo, Undo
from app.telemetry.observer import RequestRecord

UsageReader = Callable[[dict[str, Any]], Usage | None]

_log = logging.getLogger(__name__)

Taken = TypeVar("Taken")

_PROFILE_SECONDS = 3.0
_JSON = (("content-type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Bedrock's answer, word for word."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class ForwardedStream:
    """Bedrock's streamed answer, its bytes as they arrive, and the tap that listens to them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: AsyncGenerator[bytes, None]
    tap: UsageTap


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs the calls of all dialects."""

    client: BedrockClient
    planner: Planner
    # features of Anthropic's format that this deployment lets pass beside those that are known
    betas: frozenset[str] = frozenset()
    find_profile: Callable[[ModelId], Awaitable[str | None]] | None = None

    async def complete(self, exchange: Exchange, call: ModelCall) -> Reply:
        """Translate, call Converse, and return its reply in the caller's terms.

        Raises:
            GatewayError: whatever went wrong, on either side.
        """
        request, undo = self._prepare(exchange, call, "converse")
        reply = await self.send(exchange, request, _take_reply)
        exchange.record.usage = Usage.of(_plain(reply["usage"]), _plain(reply.get("additionalModelResponseFields")))
        return undo.reply(reply)

    async def stream(self, exchange: Exchange, call: ModelCall) -> AsyncGenerator[list[Event], None]:
        """Translate, call ConverseStream, and return its events in the caller's terms, a batch for each read.

        Returns once the first event has come: until then a failure is tried again, and raised here. The generator
        must be closed, and raises GatewayError where the stream breaks.
        """
        exchange.record.streamed = True
        request, undo = self._prepare(exchange, call, "converse-stream")

        async def take(response: HttpResponse) -> AsyncGenerator[list[Event], None]:
            return await started(_read_events(response, undo, exchange.record))

        return await self.send(exchange, request, take)

    def takes_natively(self, name: str, body_format: str) -> bool:
        """True if the surface of the name's target takes bodies of this format, so that nothing needs translation.

        Raises:
            InvalidRequest: the name cannot be one of a model.
        """
        return self.planner.plan(name).traits.invoke_format == body_format

    async def invoke(self, exchange: Exchange, call: NativeCall, usage_of: UsageReader) -> dict[str, Any]:
        """Call InvokeModel with a body of the model's own format, and return the document that it answers.

        Args:
            usage_of: reads the tokens that a document of this format tells of.

        Raises:
            GatewayError: whatever went wrong, on either side.
        """
        request = self._native_request(exchange, call, "invoke")

        async def take(response: HttpResponse) -> dict[str, Any]:
            document = await read_document(response)
            exchange.record.usage = usage_of_headers(response.headers) or usage_of(document)
            return document

        return await self.send(exchange, request, take)

    async def invoke_stream(
        self, exchange: Exchange, call: NativeCall, usage_of: UsageReader, last: str
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Call InvokeModelWithResponseStream, and return the documents of its chunks, a batch for each read.

        Args:
            usage_of: as for `invoke`. last: the `type` of the document that completes a message.

        Returns and raises as `stream` does.
        """
        exchange.record.streamed = True
        request = self._native_request(exchange, call, "invoke-with-response-stream")

        async def take(response: HttpResponse) -> AsyncGenerator[list[dict[str, Any]], None]:
            return await started(_read_documents(response, last, usage_of, exchange.record))

        return await self.send(exchange, request, take)

    async def send(
        self, exchange: Exchange, request: BedrockRequest, take: Callable[[HttpResponse], Awaitable[Taken]]
    ) -> Taken:
        """Send a request to the target that the record names; a model sold only by inference profile is asked by one.

        Bedrock says so only when asked by the model's own id. The profile that is then found is remembered.

        Raises:
            GatewayError: as `BedrockClient.run` does.
        """
        record = exchange.record
        model = parse_model_id(unquote(request.path.split("/")[2]))
        try:
            return await self.client.run(request, exchange.deadline, record, take)
        except ProfileRequired:
            profile = await self._profile_of(model, exchange.deadline)
            if profile is None:
                raise
        except (ModelNotFound, PermissionRefused):
            self.planner.forget(model.raw)
            raise
        record.target = profile
        note_profile(record)
        path = f"/model/{parse_model_id(profile).quoted}/{request.path.rpartition('/')[2]}"
        answer = await self.client.run(replace(request, path=path), exchange.deadline, record, take)
        self.planner.profiles[model.raw] = profile
        return answer

    async def _profile_of(self, model: ModelId, deadline: Deadline) -> str | None:
        """A courtesy, which must not keep Bedrock's refusal back for long."""
        if self.find_profile is None:
            return None
        try:
            async with asyncio.timeout(min(_PROFILE_SECONDS, deadline.remaining() / 2)):
                return await self.find_profile(model)
        except (GatewayError, TimeoutError) as error:
            _log.warning("no inference profile could be found: %s", type(error).__name__)
            return None

    def fitted(self, exchange: Exchange, call: NativeCall) -> dict[str, Any]:
        """The body that a native call becomes for its target; what was ignored and repaired is noted in the record."""
        draft = tailor_invoke(call, self.planner.plan(call.model).traits, self.betas)
        exchange.record.ignored += draft.ignored
        exchange.record.repaired += draft.repaired
        return draft.body

    async def count_tokens(self, exchange: Exchange, name: str, counted: dict[str, Any]) -> int:
        """The tokens of an input, as CountTokens counts them, which it does by base id only.

        Args:
            counted: the `input` of CountTokens.

        Raises:
            GatewayError: whatever went wrong; InvalidRequest where this model's tokens are not counted.
        """
        target = self.planner.plan(name)
        record = exchange.record
        record.model, record.target, record.surface = name or DEFAULT_ALIAS, target.model.base, "count-tokens"
        path = f"/model/{quote(target.model.base, safe='')}/count-tokens"
        body = json.dumps({"input": counted})
        request = BedrockRequest("bedrock-runtime", "POST", path, headers=_JSON, body=body)
        document = await self.client.run(request, exchange.deadline, record, read_document)
        if not isinstance(document.get("inputTokens"), int):
            raise UpstreamFailed("Bedrock's count of tokens made no sense")
        return int(document["inputTokens"])

    def tailored(self, exchange: Exchange, call: ModelCall) -> Draft:
        """The call as its model would get it; what was ignored and repaired is noted in the record."""
        draft = tailor(call, self.planner.plan(call.model).traits)
        exchange.record.ignored += [*call.ignored, *draft.ignored]
        exchange.record.repaired += draft.repaired
        return draft

    def _native_request(self, exchange: Exchange, call: NativeCall, operation: str) -> BedrockRequest:
        target = self.planner.plan(call.model)
        return self.native_request(exchange, call.model, target, self.fitted(exchange, call), operation)

    def native_request(
        self, exchange: Exchange, name: str, target: Target, body: dict[str, Any], operation: str
    ) -> BedrockRequest:
        """A request with a body of the model's own format, noted in the record. `name` is what the caller calls it."""
        record = exchange.record
        record.model = name or DEFAULT_ALIAS
        record.target, record.lane, record.surface = target.model.raw, "native", "invoke"
        if target.by_profile:
            note_profile(record)
        path = f"/model/{target.model.quoted}/{operation}"
        return BedrockRequest("bedrock-runtime", "POST", path, headers=_JSON, body=json.dumps(body))

    async def forward(self, exchange: Exchange, request: BedrockRequest) -> Forwarded:
        """Send a caller's own request to Bedrock, and return the answer untouched.

        Raises:
            GatewayError: as `BedrockClient.run` does; with Bedrock's own answer in `upstream` where there was one.
        """

        async def take(response: HttpResponse) -> Forwarded:
            return Forwarded(response.status, response.headers, await read_body(response))

        return await self.client.run(request, exchange.deadline, exchange.record, take)

    async def forward_stream(self, exchange: Exchange, request: BedrockRequest) -> ForwardedStream:
        """Send a caller's own request to Bedrock, and return the answer's bytes as they arrive, once the first has.

        Raises:
            GatewayError: as `forward` does, before the first byte; the generator raises where the stream breaks.
        """
        exchange.record.streamed = True

        async def take(response: HttpResponse) -> ForwardedStream:
            tap = UsageTap()
            chunks = await started(_tapped(response, tap, exchange.record))
            return ForwardedStream(response.status, response.headers, chunks, tap)

        return await self.client.run(request, exchange.deadline, exchange.record, take)

    def _prepare(self, exchange: Exchange, call: ModelCall, operation: str) -> tuple[BedrockRequest, Undo]:
        record = exchange.record
        target = self.planner.plan(call.model)
        draft = self.tailored(exchange, call)
        record.model = call.model or DEFAULT_ALIAS
        record.target, record.lane, record.surface = target.model.raw, "translated", "converse"
        if target.by_profile:
            note_profile(record)
        path = f"/model/{target.model.quoted}/{operation}"
        body = json.dumps(draft.body)
        return BedrockRequest("bedrock-runtime", "POST", path, headers=_JSON, body=body), draft.undo


def note_profile(record: RequestRecord) -> None:
    """Say, once for a request of however many calls, that a profile was asked instead of the model's own id."""
    if "inference_profile" not in record.repaired:
        record.repaired.append("inference_profile")


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
                elif "messageStop" in event:
                    more = event["messageStop"].get("additionalModelResponseFields")
            if undoing is not None:
                events = undoing.feed(events)
            if events:
                yield events
        decoder.finish()
    finally:
        response.close()


async def _read_documents(
    response: HttpResponse, last: str, usage_of: UsageReader, record: RequestRecord
) -> AsyncGenerator[list[dict[str, Any]], None]:
    decoder = DocumentDecoder(last)
    try:
        async for data in response.chunks():
            documents = decoder.feed(data)
            for document in documents:
                record.usage = usage_of_invocation(document) or usage_of(document) or record.usage
            if documents:
                yield documents
        decoder.finish()
    finally:
        response.close()


async def _tapped(response: HttpResponse, tap: UsageTap, record: RequestRecord) -> AsyncGenerator[bytes, None]:
    try:
        async for data in response.chunks():
            tap.feed(data)
            yield data
        if not tap.is_at_boundary and not tap.is_deaf:
            raise UpstreamFailed("Bedrock's stream ended in the middle of an event")
    finally:
        record.usage = tap.usage
        if tap.error is not None:
            record.error, record.detail = tap.error.kind, tap.error.detail
        response.close()
