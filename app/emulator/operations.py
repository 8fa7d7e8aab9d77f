"""What the embedded Bedrock does for each operation, once a caller has been let in."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from app.converse.events import Event, StreamTrace
from app.converse.fold import fold
from app.converse.request import ConverseRequest
from app.emulator import openai, openai_events, tokens
from app.emulator.anthropic_messages.message import gather_message
from app.emulator.anthropic_messages.request import to_converse
from app.emulator.anthropic_messages.stream import to_anthropic
from app.emulator.catalog import LLM_ID, Model, find_counted, find_model, find_on_mantle
from app.emulator.constraints import check_constraints
from app.emulator.converse_rules.check import check_converse_rules
from app.emulator.embeddings import embed
from app.emulator.errors import MALFORMED, ServiceError, invalid
from app.emulator.faults import Fault, FaultMemory
from app.emulator.guardrails import BLOCKED_MESSAGE, apply_guardrail, is_blocked
from app.emulator.llm import LocalModel
from app.emulator.model_rules.check import check_model_rules
from app.emulator.request_parts import last_user_text
from app.emulator.rerank import rerank
from app.emulator.scripted_models.playback import play
from app.emulator.scripted_models.scenarios import script_for
from app.emulator.scripted_models.script import Script
from app.emulator.wire import FrameWriter, SseWriter
from app.wire import eventstream, json

_NO_LOCAL_MODEL = "The local model is not installed: see requirements/local.txt."


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


_GARBAGE = Answer(b"<html>not what you expect</html>", {"content-type": "text/html"})


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Frames of an event stream, and the fault that will befall them."""

    frames: AsyncGenerator[bytes, None]
    fault: Fault
    writer: FrameWriter | SseWriter
    content_type: str = eventstream.CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Runtime:
    """The operations of bedrock-runtime.

    llm: the real language model, or None where it is not installed.
    """

    llm: LocalModel | None
    memory: FaultMemory = field(default_factory=FaultMemory)

    async def converse(self, model_name: str, body: bytes) -> Answer:
        """Converse."""
        request = _document(body)
        check_constraints("Converse", {**request, "modelId": model_name})
        model, fault = await self._admit(model_name, "converse", body)
        check_converse_rules(_chat(model), cast(ConverseRequest, request))
        if fault.name == "garbage":
            return _GARBAGE
        reply = fold([event async for event in self._play(model, cast(ConverseRequest, request))])
        return Answer(json.dumps(reply))

    async def converse_stream(self, model_name: str, body: bytes) -> Answer | StreamAnswer:
        """ConverseStream."""
        request = _document(body)
        check_constraints("ConverseStream", {**request, "modelId": model_name})
        model, fault = await self._admit(model_name, "converse-stream", body)
        check_converse_rules(_chat(model), cast(ConverseRequest, request))
        return await _streamed(
            fault, body, lambda writer: _event_frames(self._play(model, cast(ConverseRequest, request)), writer)
        )

    async def invoke(self, model_name: str, body: bytes) -> Answer:
        """InvokeModel."""
        model, fault = await self._admit(model_name, "invoke", body)
        if fault.name == "garbage":
            return _GARBAGE
        document = _own_document(body)
        if model.kind == "embedding":
            answer, count = embed(model, document)
            return Answer(json.dumps(answer), _token_headers({"inputTokenCount": count}))
        if model.kind == "rerank":
            return Answer(json.dumps(rerank(model, document)))
        message, metrics = await gather_message(self._play_anthropic(model, document))
        return Answer(json.dumps(message), _token_headers(metrics))

    async def invoke_stream(self, model_name: str, body: bytes) -> Answer | StreamAnswer:
        """InvokeModelWithResponseStream."""
        model, fault = await self._admit(model_name, "invoke-with-response-stream", body)
        if model.kind != "chat":
            raise invalid("The model is unsupported for streaming.")
        document = _own_document(body)
        return await _streamed(fault, body, lambda writer: _chunk_frames(self._play_anthropic(model, document), writer))

    async def openai(self, path: str, *, is_mantle: bool | None, body: bytes) -> Answer | StreamAnswer:
        """Chat Completions or Responses, at the runtime or on mantle; where that is not known, where the model is."""
        document = _document(body)
        name = document.get("model")
        if is_mantle is None:
            known = find_on_mantle(str(name))
            is_mantle = known is not None and f"mantle{path}" in known[0].openai
        found = find_on_mantle(str(name)) if is_mantle else find_model(str(name))
        place = f"{'mantle' if is_mantle else 'runtime'}{path}"
        if found is None or place not in found[0].openai:
            raise openai.bad_model(str(name), is_mantle=is_mantle, path=path)
        fault = await self._strike(found[1], f"{name}{path}", body)
        if fault.name == "garbage":
            return _GARBAGE
        is_chat = path.endswith("/chat/completions")
        request = (
            openai.chat_to_converse(document)
            if is_chat
            else openai.responses_to_converse(document, is_mantle=is_mantle)
        )
        events = self._play(found[0], cast(ConverseRequest, request))
        documents = (
            openai_events.to_chunks(events, document) if is_chat else openai_events.to_responses(events, document)
        )
        if document.get("stream"):
            frames = await _begun(_sse_frames(documents, ends_with_done=is_chat))
            return StreamAnswer(frames, fault, SseWriter(), "text/event-stream")
        gathered = openai_events.gather_completion(documents) if is_chat else openai_events.gather_response(documents)
        return Answer(json.dumps(await gathered))

    async def count_tokens(self, model_name: str, body: bytes) -> Answer:
        """CountTokens: free, and only by base id (recording anthropic_bedrock_count_tokens_error)."""
        request = _document(body)
        check_constraints("CountTokens", {**request, "modelId": model_name})
        by_arn = model_name.startswith("arn:")
        model, suffix = find_model(model_name) if by_arn else find_counted(model_name)
        await self._strike(suffix, f"{model_name}/count-tokens", body)
        is_named = model_name == model.id or model_name.startswith(("scripted.", "arn:aws:bedrock:us-east-1::"))
        if not is_named or not model.id.startswith(("anthropic.", "scripted.", "local.")):
            raise invalid("The provided model doesn't support counting tokens.")
        if "invokeModel" in request["input"]:
            converse = to_converse(_own_document(b64decode(request["input"]["invokeModel"]["body"])))
        else:
            converse = request["input"]["converse"]
            check_converse_rules(_chat(model), converse)
        if model.id == LLM_ID and self.llm is not None:
            return Answer(json.dumps({"inputTokens": await self.llm.count(converse)}))
        return Answer(json.dumps({"inputTokens": tokens.count_request(converse)}))

    async def apply_guardrail(self, identifier: str, version: str, body: bytes) -> Answer:
        """ApplyGuardrail."""
        request = _document(body)
        check_constraints("ApplyGuardrail", {**request, "guardrailIdentifier": identifier, "guardrailVersion": version})
        return Answer(json.dumps(apply_guardrail(identifier, request)))

    async def _admit(self, model_name: str, operation: str, body: bytes) -> tuple[Model, Fault]:
        """The model and its fault, once the faults before the answer have had their way."""
        model, suffix = find_model(model_name)
        return model, await self._strike(suffix, f"{model_name}/{operation}", body)

    async def _strike(self, suffix: str, path: str, body: bytes) -> Fault:
        fault = Fault.parse(suffix)
        self.memory.refuse(fault, path, body)
        if fault.name == "slow":
            await asyncio.sleep(max(fault.number, 0) / 1000)
        if fault.name == "never":
            await asyncio.Event().wait()
        return fault

    def _play(self, model: Model, request: ConverseRequest) -> AsyncIterator[Event]:
        if model.id == LLM_ID:
            if self.llm is None:
                raise ServiceError("ModelNotReadyException", _NO_LOCAL_MODEL)
            return self.llm.events(request)
        if is_blocked(request.get("guardrailConfig") or {}, last_user_text(request)):
            trace: StreamTrace = {"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": []}}
            script = Script([{"text": BLOCKED_MESSAGE}], "guardrail_intervened", trace=trace)
        else:
            script = script_for(model, request)
        return play(script, request)

    def _play_anthropic(self, model: Model, document: Any) -> AsyncIterator[dict[str, Any]]:
        request = to_converse(document)
        check_model_rules(_chat(model), request, prefix="")
        return to_anthropic(self._play(model, request), model.id, document, tokens.count_request(request))


def _chat(model: Model) -> Model:
    if model.kind != "chat":
        raise invalid(
            "This action doesn't support the model that you provided. Try again with a supported text or chat model."
        )
    return model


def _document(body: bytes) -> dict[str, Any]:
    """The body of a modelled operation."""
    try:
        document = json.loads(body or b"{}")
    except json.JsonError:
        raise ServiceError("SerializationException", "The body is not valid JSON", is_front_end=True) from None
    if not isinstance(document, dict):
        found = "Start of list" if isinstance(document, list) else "A scalar"
        raise ServiceError("SerializationException", f"{found} found where not expected", is_front_end=True)
    return document


def _own_document(body: bytes) -> Any:
    """A body in a model's own format."""
    try:
        return json.loads(body)
    except json.JsonError:
        raise invalid(MALFORMED) from None


def _token_headers(metrics: dict[str, int]) -> dict[str, str]:
    """The counts of an answer as headers; every recorded answer of InvokeModel has them."""
    names = {
        "inputTokenCount": "input-token-count",
        "outputTokenCount": "output-token-count",
        "cacheReadInputTokenCount": "cache-read-input-token-count",
        "cacheWriteInputTokenCount": "cache-write-input-token-count",
    }
    headers = {f"x-amzn-bedrock-{name}": str(metrics[count]) for count, name in names.items() if count in metrics}
    return {**headers, "x-amzn-bedrock-invocation-latency": "1"}


async def _streamed(
    fault: Fault, seed: bytes, frames: Callable[[FrameWriter], AsyncGenerator[bytes, None]]
) -> Answer | StreamAnswer:
    """A stream whose first frame is there: what fails before it has a status of its own."""
    if fault.name == "garbage":
        return _GARBAGE
    writer = FrameWriter(seed)
    return StreamAnswer(await _begun(frames(writer)), fault, writer)


async def _begun(frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    first = await anext(frames, b"")

    async def whole() -> AsyncGenerator[bytes, None]:
        async with aclosing(frames):
            yield first
            async for frame in frames:
                yield frame

    return whole()


async def _event_frames(events: AsyncIterator[Event], writer: FrameWriter) -> AsyncGenerator[bytes, None]:
    async for event in events:
        ((kind, payload),) = event.items()
        yield writer.event(kind, dict(payload))  # type: ignore[call-overload]


async def _chunk_frames(events: AsyncIterator[dict[str, Any]], writer: FrameWriter) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield writer.chunk(event)


async def _sse_frames(documents: AsyncIterator[dict[str, Any]], *, ends_with_done: bool) -> AsyncGenerator[bytes, None]:
    async for document in documents:
        yield openai_events.frame(document)
    if ends_with_done:
        yield b"data: [DONE]\n\n"
