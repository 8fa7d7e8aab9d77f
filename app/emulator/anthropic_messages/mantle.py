"""Anthropic's Messages on mantle: the model is in the body, streams are server-sent events.

AWS user guide, inference with the Messages API (2026-11). Mantle has no `output_config.format`
(docs/reference/contracts/bedrock-endpoints.md#mantle).
"""

from collections.abc import AsyncGenerator, AsyncIterator

from app.emulator import tokens
from app.emulator.anthropic_messages.message import gather_message
from app.emulator.anthropic_messages.request import to_converse
from app.emulator.catalog import MODELS, Model
from app.emulator.errors import ServiceError
from app.emulator.model_runner import ModelRunner
from app.emulator.request_bodies import parse_body
from app.emulator.responses import GARBAGE, CompleteResponse, Response, StreamingResponse, with_first_frame
from app.emulator.stream_writers import SseWriter
from app.wire import json
from app.wire.json import JsonObject

_KINDS = {
    "AccessDeniedException": "permission_error",
    "ResourceNotFoundException": "not_found_error",
    "ThrottlingException": "rate_limit_error",
    "ValidationException": "invalid_request_error",
    "ServiceUnavailableException": "overloaded_error",
}


class AnthropicServiceError(ServiceError):
    """An error in Anthropic's envelope."""

    @property
    def error_type(self) -> str:
        """Empty: this API names its errors in the body only."""
        return ""

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        return {"type": "error", "error": {"type": _KINDS.get(self.name, "api_error"), "message": self.message}}


async def create_message(runner: ModelRunner, body: bytes) -> Response:
    """Create a message.

    Raises:
        ServiceError: in Anthropic's envelope. ConnectionResetError: the fault `reset`.
    """
    try:
        return await _create(runner, body)
    except ServiceError as error:
        raise AnthropicServiceError(error.name, error.message, headers=error.headers) from None


async def _create(runner: ModelRunner, body: bytes) -> Response:
    document = parse_body(body)
    model, suffix = _find(document)
    fault = await runner.faults.inject(suffix, f"{model.id}/messages", body)
    if fault.name == "garbage":
        return GARBAGE
    model = runner.as_called(model, model.id, is_mantle=True)
    events = runner.run_anthropic(model, _as_invoked(document))
    if document.get("stream"):
        return StreamingResponse(await with_first_frame(_frames(events)), fault, SseWriter(), "text/event-stream")
    message, _ = await gather_message(events)
    return CompleteResponse(json.dumps(message))


def count_message(body: bytes) -> CompleteResponse:
    """Count the tokens of a message.

    Raises:
        ServiceError: in Anthropic's envelope.
    """
    try:
        document = parse_body(body)
        _find(document)
        request = to_converse({"max_tokens": 1, **_as_invoked(document)})
    except ServiceError as error:
        raise AnthropicServiceError(error.name, error.message) from None
    return CompleteResponse(json.dumps({"input_tokens": tokens.count_request(request)}))


def _find(document: JsonObject) -> tuple[Model, str]:
    """Find a Claude by its base id; returns it with the suffix that names a fault."""
    name = str(document.get("model"))
    base, _, suffix = name.partition(":0.")
    model = MODELS.get(name) or MODELS.get(f"{base}:0") or MODELS.get(base)
    if model is None or model.provider != "Anthropic":
        raise ServiceError("ResourceNotFoundException", f"model: {name}")
    return model, suffix if model.id != name else ""


def _as_invoked(document: JsonObject) -> JsonObject:
    """Return the body as InvokeModel takes it."""
    if "format" in (document.get("output_config") or {}):
        raise ServiceError("ValidationException", "output_config.format: Extra inputs are not permitted")
    if extra := {"anthropic_version", "anthropic_beta"} & document.keys():
        raise ServiceError("ValidationException", f"{min(extra)}: Extra inputs are not permitted")
    rest = {name: value for name, value in document.items() if name not in ("model", "stream")}
    return {"anthropic_version": "bedrock-2023-05-31", **rest}


async def _frames(events: AsyncIterator[JsonObject]) -> AsyncGenerator[bytes, None]:
    async for event in events:
        shown = {name: value for name, value in event.items() if not name.startswith("amazon-bedrock-")}
        yield f"event: {shown['type']}\n".encode() + b"data: " + json.dumps(shown) + b"\n\n"
