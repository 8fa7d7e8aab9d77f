"""What the embedded Bedrock does for each operation, once a caller has been let in."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from app.converse.events import Event
from app.converse.fold import fold
from app.emulator import anthropic, tokens
from app.emulator.catalog import LLM_ID, Model, find_model
from app.emulator.constraints import check_constraints
from app.emulator.embeddings import embed
from app.emulator.failure import Failure, invalid
from app.emulator.faults import Fault, FaultMemory
from app.emulator.guardrails import BLOCKED_MESSAGE, GUARDRAIL, apply_guardrail
from app.emulator.llm import LocalModel
from app.emulator.play import play
from app.emulator.rules import check_rules
from app.emulator.scenes import script_for
from app.emulator.script import Script, last_text
from app.emulator.wire import FrameWriter
from app.kit import json


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Frames of an event stream, and the fault that will befall them."""

    frames: AsyncIterator[bytes]
    fault: Fault
    writer: FrameWriter


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
        check_rules(_chat(model), request)
        if fault.name == "garbage":
            return Answer(b"<html>not what you expect</html>", {"content-type": "text/html"})
        reply = fold([event async for event in self._play(model, request)])
        return Answer(json.dumps(reply))

    async def converse_stream(self, model_name: str, body: bytes) -> StreamAnswer:
        """ConverseStream."""
        request = _document(body)
        check_constraints("ConverseStream", {**request, "modelId": model_name})
        model, fault = await self._admit(model_name, "converse-stream", body)
        check_rules(_chat(model), request)
        writer = FrameWriter(body)
        return StreamAnswer(_event_frames(self._play(model, request), writer), fault, writer)

    async def invoke(self, model_name: str, body: bytes) -> Answer:
        """InvokeModel."""
        model, _ = await self._admit(model_name, "invoke", body)
        document = _own_document(body)
        if model.kind == "embedding":
            answer, count = embed(model, document)
            return Answer(json.dumps(answer), _token_headers(count, None))
        events = self._play_anthropic(model, document)
        message = await anthropic.gather(anthropic.to_anthropic(events, model.id, document))
        usage = message["usage"]
        return Answer(json.dumps(message), _token_headers(usage["input_tokens"], usage["output_tokens"]))

    async def invoke_stream(self, model_name: str, body: bytes) -> StreamAnswer:
        """InvokeModelWithResponseStream."""
        model, fault = await self._admit(model_name, "invoke-with-response-stream", body)
        if model.kind == "embedding":
            raise invalid("The model is unsupported for streaming.")
        document = _own_document(body)
        events = anthropic.to_anthropic(self._play_anthropic(model, document), model.id, document)
        writer = FrameWriter(body)
        return StreamAnswer(_chunk_frames(events, writer), fault, writer)

    async def count_tokens(self, model_name: str, body: bytes) -> Answer:
        """CountTokens: free, and only by base id (recording anthropic_bedrock_count_tokens_error)."""
        request = _document(body)
        check_constraints("CountTokens", {**request, "modelId": model_name})
        model, _ = find_model(model_name)
        if model_name != model.id and not model_name.startswith("arn:"):
            raise invalid("The provided model doesn't support counting tokens.")
        if "invokeModel" in request["input"]:
            from base64 import b64decode

            converse = anthropic.to_converse(_own_document(b64decode(request["input"]["invokeModel"]["body"])))
        else:
            converse = request["input"]["converse"]
            check_rules(_chat(model), converse)
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
        fault = Fault.parse(suffix)
        self.memory.refuse(fault, f"{model_name}/{operation}", body)
        if fault.name == "slow":
            await asyncio.sleep(max(fault.number, 0) / 1000)
        if fault.name == "never":
            await asyncio.Event().wait()
        if fault.name == "reset":
            raise ConnectionResetError
        return model, fault

    def _play(self, model: Model, request: dict[str, Any]) -> AsyncIterator[Event]:
        if model.id == LLM_ID:
            if self.llm is None:
                raise Failure("ModelNotReadyException", "The local model is not installed: see requirements-local.txt.")
            return self.llm.events(request)
        guard = request.get("guardrailConfig") or {}
        if guard.get("guardrailIdentifier") == GUARDRAIL and "forbidden" in last_text(request).lower():
            trace = {"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": []}}
            script = Script([{"text": BLOCKED_MESSAGE}], "guardrail_intervened", trace=trace)
        else:
            script = script_for(model, request)
        return play(script, request)

    def _play_anthropic(self, model: Model, document: Any) -> AsyncIterator[Event]:
        request = anthropic.to_converse(document)
        check_constraints("Converse", {**request, "modelId": model.id})
        check_rules(_chat(model), request)
        return self._play(model, request)


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
        raise Failure("SerializationException", "The body is not valid JSON", is_front_door=True) from None
    if not isinstance(document, dict):
        raise Failure("SerializationException", "Start of list found where not expected", is_front_door=True)
    return document


def _own_document(body: bytes) -> Any:
    """A body in a model's own format."""
    try:
        return json.loads(body)
    except json.JsonError:
        raise invalid("Malformed input request, please reformat your input and try again.") from None


def _token_headers(input_tokens: int, output_tokens: int | None) -> dict[str, str]:
    headers = {
        "x-amzn-bedrock-input-token-count": str(input_tokens),
        "x-amzn-bedrock-invocation-latency": "1",
    }
    if output_tokens is not None:
        headers["x-amzn-bedrock-output-token-count"] = str(output_tokens)
    return headers


async def _event_frames(events: AsyncIterator[Event], writer: FrameWriter) -> AsyncIterator[bytes]:
    async for event in events:
        ((kind, payload),) = event.items()
        yield writer.event(kind, dict(payload))  # type: ignore[call-overload]


async def _chunk_frames(events: AsyncIterator[dict[str, Any]], writer: FrameWriter) -> AsyncIterator[bytes]:
    async for event in events:
        yield writer.chunk(event)
