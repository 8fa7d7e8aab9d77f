"""Converse requests in llama.cpp's format, and llama.cpp's chunks."""

from dataclasses import dataclass

from app.converse.request import ConverseRequest
from app.emulator.errors import ServiceError, invalid, model_refused
from app.wire.json import JsonObject

_STOP_REASONS = {"limit": "max_tokens", "word": "stop_sequence", "eos": "end_turn"}


@dataclass(slots=True)
class GenerationEnd:
    """How a generation ended."""

    stop_reason: str
    input_tokens: int
    output_tokens: int


def generation_request(request: ConverseRequest) -> JsonObject:
    """The streaming request to llama.cpp for a Converse request."""
    inference = request.get("inferenceConfig") or {}
    return {
        "messages": template_messages(request),
        "max_tokens": inference.get("maxTokens", 512),
        "temperature": inference.get("temperature", 0.2),
        "top_p": inference.get("topP", 1.0),
        "top_k": 0,
        "min_p": 0.0,
        "seed": 0,
        "stop": inference.get("stopSequences", []),
        "stream": True,
        "stream_options": {"include_usage": True},
        "verbose": True,
        "return_progress": True,
    }


def template_messages(request: ConverseRequest) -> list[dict[str, str]]:
    """Converse's messages as the model's chat template takes them: text only.

    Raises:
        ServiceError: a ValidationException for other content.
    """
    messages: list[dict[str, str]] = []
    system = "\n".join(block["text"] for block in request.get("system") or [] if "text" in block)
    if system:
        messages.append({"role": "system", "content": system})
    for message in request["messages"]:
        texts: list[str] = []
        for block in message["content"]:
            if "text" in block:
                texts.append(block["text"])
            elif "cachePoint" not in block:
                raise invalid(
                    f"This model doesn't support the {next(iter(block))} content block that you provided. "
                    "Update the content block and try again."
                )
        messages.append({"role": message["role"], "content": "\n".join(texts)})
    return messages


def parse_chunk(chunk: JsonObject) -> list[str | GenerationEnd]:
    """The texts of a chunk, and the end if it holds one. A chunk with usage follows the end, and is empty.

    Raises:
        ServiceError: the generation failed.
    """
    if "error" in chunk:
        error = chunk["error"]
        if error.get("type") == "exceed_context_size_error":
            raise model_refused("Input is too long for requested model.")
        raise ServiceError("ModelErrorException", str(error.get("message", "generation failed")))
    items: list[str | GenerationEnd] = []
    for choice in chunk.get("choices", ()):
        if text := choice["delta"].get("content"):
            items.append(text)
        if choice.get("finish_reason"):
            details = chunk["__verbose"]
            reason = _STOP_REASONS.get(details["stop_type"], "end_turn")
            items.append(GenerationEnd(reason, details["tokens_evaluated"], details["tokens_predicted"]))
    return items
