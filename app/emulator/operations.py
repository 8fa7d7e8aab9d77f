"""The operations of bedrock-runtime, for callers that are authenticated."""

from base64 import b64decode
from dataclasses import dataclass
from typing import cast

from app.converse.fold import fold
from app.converse.request import ConverseRequest
from app.emulator import tokens
from app.emulator.anthropic_messages.message import gather_message
from app.emulator.anthropic_messages.request import to_converse
from app.emulator.catalog import LLM_ID, Model
from app.emulator.constraints import check_constraints
from app.emulator.converse_rules.check import check_converse_rules
from app.emulator.embeddings import embed
from app.emulator.errors import invalid
from app.emulator.faults import Fault
from app.emulator.guardrails import apply_guardrail
from app.emulator.model_lookup import find_for_token_count, find_model
from app.emulator.model_runner import ModelRunner, require_chat
from app.emulator.request_bodies import parse_body, parse_model_body
from app.emulator.rerank import rerank
from app.emulator.responses import (
    GARBAGE,
    CompleteResponse,
    Response,
    chunk_frames,
    event_frames,
    open_stream,
    token_headers,
)
from app.wire import json


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations; each takes the model's name or ARN from the path, and the body.

    Raises:
        ServiceError: as AWS does. ConnectionResetError: the fault `reset`.
    """

    runner: ModelRunner

    async def converse(self, model_name: str, body: bytes) -> CompleteResponse:
        """Converse."""
        model, fault, request = await self._admit_converse(model_name, "Converse", "converse", body)
        if fault.name == "garbage":
            return GARBAGE
        reply = fold([event async for event in self.runner.run(model, request)])
        return CompleteResponse(json.dumps(reply))

    async def converse_stream(self, model_name: str, body: bytes) -> Response:
        """ConverseStream."""
        model, fault, request = await self._admit_converse(model_name, "ConverseStream", "converse-stream", body)
        return await open_stream(fault, body, lambda writer: event_frames(self.runner.run(model, request), writer))

    async def invoke(self, model_name: str, body: bytes) -> CompleteResponse:
        """InvokeModel."""
        model, fault = await self.runner.admit(model_name, "invoke", body)
        if fault.name == "garbage":
            return GARBAGE
        document = parse_model_body(body)
        if model.kind == "embedding":
            answer, input_tokens = embed(model, document)
            return CompleteResponse(json.dumps(answer), token_headers({"inputTokenCount": input_tokens}))
        if model.kind == "rerank":
            return CompleteResponse(json.dumps(rerank(model, document)))
        message, metrics = await gather_message(self.runner.run_anthropic(model, document))
        return CompleteResponse(json.dumps(message), token_headers(metrics))

    async def invoke_stream(self, model_name: str, body: bytes) -> Response:
        """InvokeModelWithResponseStream."""
        model, fault = await self.runner.admit(model_name, "invoke-with-response-stream", body)
        if model.kind != "chat":
            raise invalid("The model is unsupported for streaming.")
        document = parse_model_body(body)
        return await open_stream(
            fault, body, lambda writer: chunk_frames(self.runner.run_anthropic(model, document), writer)
        )

    async def count_tokens(self, model_name: str, body: bytes) -> CompleteResponse:
        """CountTokens: free, and only by base id (recording anthropic_bedrock_count_tokens_error)."""
        document = parse_body(body)
        check_constraints("CountTokens", {**document, "modelId": model_name})
        model, suffix = find_model(model_name) if model_name.startswith("arn:") else find_for_token_count(model_name)
        await self.runner.faults.inject(suffix, f"{model_name}/count-tokens", body)
        _check_countable(model, model_name)
        if "invokeModel" in document["input"]:
            request = to_converse(parse_model_body(b64decode(document["input"]["invokeModel"]["body"])))
        else:
            request = document["input"]["converse"]
            check_converse_rules(require_chat(model), request)
        llm = self.runner.llm
        count = await llm.count(request) if model.id == LLM_ID and llm is not None else tokens.count_request(request)
        return CompleteResponse(json.dumps({"inputTokens": count}))

    async def apply_guardrail(self, identifier: str, version: str, body: bytes) -> CompleteResponse:
        """ApplyGuardrail."""
        document = parse_body(body)
        values = {**document, "guardrailIdentifier": identifier, "guardrailVersion": version}
        check_constraints("ApplyGuardrail", values)
        return CompleteResponse(json.dumps(apply_guardrail(identifier, document)))

    async def _admit_converse(
        self, model_name: str, operation: str, path: str, body: bytes
    ) -> tuple[Model, Fault, ConverseRequest]:
        document = parse_body(body)
        check_constraints(operation, {**document, "modelId": model_name})
        model, fault = await self.runner.admit(model_name, path, body)
        request = cast(ConverseRequest, document)
        check_converse_rules(require_chat(model), request)
        return model, fault, request


def _check_countable(model: Model, model_name: str) -> None:
    is_base_id = model_name == model.id or model_name.startswith(("scripted.", "arn:aws:bedrock:us-east-1::"))
    # the cards of Opus 4.7 and later (AWS user guide, 2026-11): mantle counts for them, the runtime does not
    if (
        not is_base_id
        or model.rules.startswith("claude-5")
        or not model.id.startswith(("anthropic.", "scripted.", "local."))
    ):
        raise invalid("The provided model doesn't support counting tokens.")
