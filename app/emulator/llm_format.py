"""Converse requests in llama.cpp's format, and llama.cpp's chunks."""

from dataclasses import dataclass

from app.converse.request import ConverseRequest, ToolSpecification
from app.emulator.errors import ServiceError, invalid, model_refused
from app.emulator.request_parts import text_format, tools_of
from app.wire import json
from app.wire.json import JsonObject

# without a system prompt it repeats itself to the limit
_SYSTEM = "You are a helpful AI assistant named SmolLM. Be brief."
_MAX_TOKENS, _MAX_TOKENS_OF_SCHEMA = 128, 512
_SCHEMA_ERROR = "JSON schema error at "
_STOP_REASONS = {"limit": "max_tokens", "word": "stop_sequence", "eos": "end_turn"}


@dataclass(slots=True)
class GenerationEnd:
    """How a generation ended."""

    stop_reason: str
    input_tokens: int
    output_tokens: int


def generation_request(request: ConverseRequest, schema: object = None) -> JsonObject:
    """The streaming request to llama.cpp for a Converse request.

    Args:
        schema: what the answer must match, by a grammar; by default that of `outputConfig`, if there is one.
    """
    inference = request.get("inferenceConfig") or {}
    output_format = text_format(request)
    if schema is None and output_format is not None:
        schema = json.loads(output_format["structure"]["jsonSchema"]["schema"])
    return {
        # a list of the same values would go on to the limit
        **({} if schema is None else {"json_schema": schema, "repeat_penalty": 1.1}),
        "messages": template_messages(request),
        "max_tokens": inference.get("maxTokens", _MAX_TOKENS if schema is None else _MAX_TOKENS_OF_SCHEMA),
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


def required_tools(request: ConverseRequest) -> list[ToolSpecification]:
    """The tools of which `toolChoice` requires one; empty if it requires none, for the model calls none by itself."""
    config = request.get("toolConfig")
    choice = (config.get("toolChoice") if config else None) or {}
    specifications = [tool["toolSpec"] for tool in tools_of(request) if "toolSpec" in tool]
    if "any" in choice:
        return specifications
    named = choice.get("tool")
    return [tool for tool in specifications if named is not None and tool["name"] == named["name"]]


def template_messages(request: ConverseRequest) -> list[dict[str, str]]:
    """Converse's messages as the model's chat template takes them: text only, with calls and results of tools as JSON.

    Raises:
        ServiceError: a ValidationException for other content.
    """
    messages: list[dict[str, str]] = []
    system = "\n".join(block["text"] for block in request.get("system") or [] if "text" in block)
    messages.append({"role": "system", "content": system or _SYSTEM})
    for message in request["messages"]:
        texts: list[str] = []
        for block in message["content"]:
            if "text" in block:
                texts.append(block["text"])
            elif "toolUse" in block:
                texts.append(json.dumps_text({"tool": block["toolUse"]["name"], "input": block["toolUse"]["input"]}))
            elif "toolResult" in block:
                parts = block["toolResult"]["content"]
                texts += [part["text"] if "text" in part else json.dumps_text(part.get("json")) for part in parts]
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
        message = str(error.get("message", "generation failed"))
        if _SCHEMA_ERROR in message:
            raise invalid(f"The schema is invalid: {message.partition(_SCHEMA_ERROR)[2]}")
        raise ServiceError("ModelErrorException", message)
    items: list[str | GenerationEnd] = []
    for choice in chunk.get("choices", ()):
        if text := choice["delta"].get("content"):
            items.append(text)
        if choice.get("finish_reason"):
            details = chunk["__verbose"]
            reason = _STOP_REASONS.get(details["stop_type"], "end_turn")
            items.append(GenerationEnd(reason, details["tokens_evaluated"], details["tokens_predicted"]))
    return items
