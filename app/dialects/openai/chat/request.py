"""Translates a chat request to a ModelCall, without knowing models.

Sources:
- docs/reference/contracts/mapping.md#messages-and-content
- docs/reference/contracts/mapping.md#parameters
"""

from typing import Any

from app.converse.call import Intent, ModelCall
from app.converse.content import ContentBlock
from app.converse.request import ConverseRequest, Message, SystemContentBlock
from app.converse.request_metadata import request_metadata
from app.dialects.http.documents import unknown_fields
from app.dialects.openai.chat import media, tools
from app.dialects.openai.chat.plain import inference_of
from app.dialects.openai.chat.schema_in import (
    AssistantMessage,
    AudioPart,
    ChatRequest,
    Content,
    FilePart,
    ImagePart,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    Part,
    RedactedThinkingBlock,
    RefusalPart,
    SystemMessage,
    TextPart,
    ThinkingBlock,
    ToolMessage,
    UserMessage,
    VideoPart,
)
from app.dialects.openai.common.cache import CacheControl, cache_point, cache_points_last, controlled
from app.dialects.openai.common.service_tiers import TIERS, UNAVAILABLE_TIERS, unavailable_tier
from app.errors import InvalidRequest
from app.wire import json

_HARMLESS: dict[str, tuple[object, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "store": (None, False),
    "logit_bias": (None, {}),
}


def to_call(request: ChatRequest) -> ModelCall:
    """Translate a chat request to a call.

    Raises:
        InvalidRequest: a value that is not supported and must not be ignored, with the path of its field.
    """
    _refuse(request)
    body: ConverseRequest = {"messages": []}
    names: dict[str, tuple[str, ...]] = {}
    ignored = [path for path, value in unknown_fields(request) if value not in _HARMLESS.get(path, (None,))]
    if isinstance(request.response_format, JsonSchemaFormat) and request.response_format.json_schema.strict is False:
        # a schema is always enforced
        ignored.append("response_format.json_schema.strict")
    _add_messages(request, body, ignored, names)
    length = request.max_completion_tokens or request.max_tokens
    if inference := inference_of(length, request.temperature, request.top_p, request.stop):
        body["inferenceConfig"] = inference
    if (request.tools or request.tool_choice) and (config := tools.tool_config(request)):
        body["toolConfig"] = config
    if request.service_tier in TIERS:
        body["serviceTier"] = {"type": request.service_tier}  # type: ignore[typeddict-item]
    if isinstance(request.response_format, JsonSchemaFormat):
        definition = _json_schema(request.response_format.json_schema)
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
    intent = Intent(
        effort=request.reasoning_effort,
        forbid_tools=request.tool_choice == "none",
        single_tool_call=request.parallel_tool_calls is False,
        json_object=isinstance(request.response_format, JsonObjectFormat),
        web_search=request.web_search_options is not None,
    )
    if request.metadata or request.user or request.safety_identifier:
        people = {"user": request.user, "safety_identifier": request.safety_identifier}
        labels, unfit = request_metadata(people, request.metadata)
        if labels:
            body["requestMetadata"] = labels
        ignored += [f"metadata.{name}" for name in unfit]
    return ModelCall(request.model, body, intent, ignored, names)


def _refuse(request: ChatRequest) -> None:
    """Raise InvalidRequest for what is not supported and would change the form of the response."""
    if (request.n or 1) > 1:
        raise InvalidRequest("only one choice per request is supported", param="n")
    if request.logprobs or request.top_logprobs:
        raise InvalidRequest("log probabilities are not available", param="logprobs")
    if request.service_tier in UNAVAILABLE_TIERS:
        raise unavailable_tier()
    if (request.modalities or ["text"]) != ["text"]:
        raise InvalidRequest("only text can be asked for", param="modalities")
    if request.audio is not None:
        raise InvalidRequest("only text can be asked for", param="audio")
    for name in ("functions", "function_call"):
        if request.__dict__[name] is not None:
            raise InvalidRequest(f"{name} is no longer supported: use tools and tool_choice", param=name)


def _json_schema(schema: JsonSchema) -> Any:
    definition = {"schema": json.dumps_text(schema.schema_), "name": schema.name}
    return {**definition, "description": schema.description} if schema.description else definition


def _add_messages(
    request: ChatRequest, body: ConverseRequest, ignored: list[str], names: dict[str, tuple[str, ...]]
) -> None:
    system: list[SystemContentBlock] = []
    messages = body["messages"]
    results: list[ContentBlock] | None = None
    for index, message in enumerate(request.messages):
        path = f"messages[{index}]"
        if isinstance(message, ToolMessage):
            if results is None:
                results = []
                messages.append({"role": "user", "content": results})
            results += _tool_result(message, path, names)
            continue
        results = None
        match message:
            case SystemMessage() if not messages:
                system += _system_blocks(message, path)
            case SystemMessage():
                messages.append(
                    {
                        "role": "system",
                        "content": _text_only(_blocks(message.content, path, message.cache_control), path),
                    }
                )
            case UserMessage():
                messages.append(
                    {"role": "user", "content": _blocks(message.content, path, message.cache_control, names)}
                )
            case _:
                messages.append(_assistant(message, path, ignored))
    if system:
        body["system"] = system


def _assistant(message: AssistantMessage, path: str, ignored: list[str]) -> Message:
    """Return a turn: reasoning, then text, then calls, as Bedrock requires."""
    content = _reasoning(message)
    content += _text_only(_blocks(message.content, path), path)
    if message.refusal:
        content.append({"text": message.refusal})
    for index, call in enumerate(message.tool_calls or ()):
        content.append({"toolUse": tools.tool_use(call, f"{path}.tool_calls[{index}]", ignored)})
    if message.cache_control is not None:
        content.append(controlled(message.cache_control))
    return {"role": "assistant", "content": content}


def _reasoning(message: AssistantMessage) -> list[ContentBlock]:
    if message.thinking_blocks:
        return [_reasoning_block(block) for block in message.thinking_blocks]
    text = message.reasoning_content or message.reasoning
    return [{"reasoningContent": {"reasoningText": {"text": text}}}] if text else []


def _reasoning_block(block: ThinkingBlock | RedactedThinkingBlock) -> ContentBlock:
    if not isinstance(block, ThinkingBlock):
        return {"reasoningContent": {"redactedContent": block.data}}
    if block.signature is None:
        return {"reasoningContent": {"reasoningText": {"text": block.thinking}}}
    return {"reasoningContent": {"reasoningText": {"text": block.thinking, "signature": block.signature}}}


def _system_blocks(message: SystemMessage, path: str) -> list[SystemContentBlock]:
    blocks: Any = _text_only(_blocks(message.content, path, message.cache_control), path)
    return list(blocks)


def _text_only(blocks: list[ContentBlock], path: str) -> list[ContentBlock]:
    for index, block in enumerate(blocks):
        if "text" not in block and "cachePoint" not in block:
            raise InvalidRequest("a message of this role holds only text", param=f"{path}.content[{index}]")
    return blocks


def _tool_result(message: ToolMessage, path: str, names: dict[str, tuple[str, ...]]) -> list[ContentBlock]:
    """Return the result, and after it the cache point of its parts. A result cannot hold one."""
    content, points = cache_points_last(_blocks(message.content, path, message.cache_control, names))
    for index, block in enumerate(content):
        if "audio" in block:
            raise InvalidRequest("a tool's result holds no audio", param=f"{path}.content[{index}]")
    return [{"toolResult": {"toolUseId": message.tool_call_id, "content": content}}, *points]


def _blocks(
    content: Content,
    path: str,
    control: CacheControl | None = None,
    names: dict[str, tuple[str, ...]] | None = None,
) -> list[ContentBlock]:
    """Return the blocks of a message's content, and the cache point of the message after them.

    names: gets the path of the first video, which not every model accepts.
    """
    blocks: list[ContentBlock] = []
    if isinstance(content, str):
        if content:
            blocks.append({"text": content})
    elif content is not None:
        _add_parts(content, path, blocks, {} if names is None else names)
    if control is not None:
        blocks.append(controlled(control))
    return blocks


def _add_parts(content: list[Part], path: str, blocks: list[ContentBlock], names: dict[str, tuple[str, ...]]) -> None:
    for index, part in enumerate(content):
        here = f"{path}.content[{index}]"
        match part:
            case TextPart():
                blocks += [{"text": part.text}] if part.text else []
            case ImagePart():
                blocks.append({"image": media.image_of(part, here)})
            case VideoPart():
                blocks.append({"video": media.video_of(part, here)})
                names.setdefault("video", (f"{here}.video_url",))
            case FilePart():
                blocks.append({"document": media.document_of(part, here)})
            case AudioPart():
                blocks.append({"audio": media.audio_of(part)})
            case _:
                blocks.append({"text": part.refusal})
        if isinstance(part, RefusalPart):
            continue
        if part.prompt_cache_breakpoint is not None:
            blocks.append(cache_point(part.prompt_cache_breakpoint))
        elif part.cache_control is not None:
            blocks.append(controlled(part.cache_control))
