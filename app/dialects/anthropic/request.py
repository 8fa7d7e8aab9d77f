"""Translates a request for a message to a ModelCall, without knowing models.

Sources:
- docs/reference/contracts/mapping.md#messages-and-content
- docs/reference/contracts/mapping.md#parameters
"""

from collections.abc import Iterable, Iterator
from typing import Any

from app.converse.call import Effort, Intent, ModelCall, effort_of
from app.converse.content import ContentBlock, ToolResultContentBlock
from app.converse.request import (
    ConverseRequest,
    InferenceConfiguration,
    Message,
    SystemContentBlock,
    Tool,
    ToolChoice,
    ToolConfiguration,
    ToolSpecification,
)
from app.converse.request_metadata import request_metadata
from app.dialects.anthropic import media
from app.dialects.anthropic.citations import to_converse
from app.dialects.anthropic.schema_in import (
    Block,
    CacheControl,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    MessagesRequest,
    OtherBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from app.dialects.anthropic.schema_in import Tool as ToolIn
from app.dialects.http.documents import unknown_fields
from app.errors import InvalidRequest
from app.wire import json

_NAMES = {"stop": ("stop_sequences",), "response_format.json_schema.schema": ("output_config.format.schema",)}
# the server tool that finds deferred tools; not needed, because every tool is sent
_TOOL_SEARCH, _FOUND_TOOLS = "tool_search_tool", "tool_search_tool_result"


def to_call(request: MessagesRequest, betas: Iterable[str] = ()) -> ModelCall:
    """Translate a request to a call.

    Args:
        betas: from the header `anthropic-beta`; reported as ignored, because only Anthropic's own format has them.

    Raises:
        InvalidRequest: a value that is not supported and must not be ignored, with the path of its field.
    """
    _refuse(request)
    body: ConverseRequest = {
        "messages": [_message(message, f"messages[{index}]") for index, message in enumerate(request.messages)],
        "inferenceConfig": _inference(request),
    }
    if system := _system(request):
        body["system"] = system
    if config := _tool_config(request):
        body["toolConfig"] = config
    last = body["messages"][-1]["content"]
    if request.cache_control is not None and not (last and "cachePoint" in last[-1]):
        last.append(_cache_point(request.cache_control))
    _add_options(request, body)
    ignored = [*_ignored(request), *(f"anthropic-beta:{beta}" for beta in betas)]
    names = {**_NAMES, "reasoning_effort": _effort_fields(request)}
    return ModelCall(request.model, body, _intent(request), ignored, names)


def _refuse(request: MessagesRequest) -> None:
    """Raise InvalidRequest for what must not be ignored."""
    if request.max_tokens == 0:
        raise InvalidRequest("this model has no cache to be warmed: max_tokens must be at least 1", param="max_tokens")
    for name in ("mcp_servers", "container"):
        if request.__dict__[name]:
            raise InvalidRequest("only Anthropic's own servers run this", param=name)


def _add_options(request: MessagesRequest, body: ConverseRequest) -> None:
    """Add the service tier, the format of the response, and the metadata."""
    if request.service_tier == "standard_only":
        body["serviceTier"] = {"type": "default"}
    if request.output_config is not None and request.output_config.format is not None:
        definition = {"schema": json.dumps_text(request.output_config.format.schema_), "name": "answer"}
        body["outputConfig"] = {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}  # type: ignore[typeddict-item]
        }
    if request.metadata is not None and request.metadata.user_id:
        body["requestMetadata"], _ = request_metadata({"user_id": request.metadata.user_id}, None)


def _intent(request: MessagesRequest) -> Intent:
    choice = request.tool_choice
    return Intent(
        effort=_effort(request),
        thinking_budget=request.thinking.budget_tokens if request.thinking is not None else None,
        top_k=request.top_k,
        forbid_tools=choice is not None and choice.type == "none",
        single_tool_call=choice is not None and bool(choice.disable_parallel_tool_use),
    )


def _ignored(request: MessagesRequest) -> list[str]:
    ignored = [path for path, value in unknown_fields(request) if value is not None]
    if request.thinking is not None and request.thinking.display is not None:
        ignored.append("thinking.display")
    if request.thinking is not None and request.thinking.type == "disabled":
        ignored += ["output_config.effort"] if request.output_config and request.output_config.effort else []
    ignored += _ignored_within(request)
    for index, tool in enumerate(request.tools or ()):
        if tool.defer_loading:
            ignored.append(f"tools[{index}].defer_loading")
        if _is_tool_search(tool):
            ignored.append(f"tools[{index}]")
    return ignored


def _ignored_within(request: MessagesRequest) -> Iterator[str]:
    """Yield the paths of cache points and citations for which Converse has no member."""
    for index, text in enumerate(request.system if isinstance(request.system, list) else ()):
        if text.citations:
            yield f"system[{index}].citations"
    for index, message in enumerate(request.messages):
        for number, block in enumerate(message.content if isinstance(message.content, list) else ()):
            if _is_left_out(message, block):
                yield f"messages[{index}].content[{number}]"
                continue
            for within in _ignored_in(block):
                yield f"messages[{index}].content[{number}]{within}"


def _ignored_in(block: Any) -> Iterator[str]:
    """Yield paths below a block."""
    pieces: list[Any] = []
    path = ""
    match block:
        case SearchResultBlock(content=pieces):
            path = ".content"
        case DocumentBlock(source=ContentSource(content=[*pieces])):
            path = ".source.content"
        case ToolResultBlock(content=[*parts]):
            for number, part in enumerate(parts):
                for within in _ignored_in(part):
                    yield f".content[{number}]{within}"
                if getattr(part, "citations", None) and isinstance(part, TextBlock):
                    yield f".content[{number}].citations"
    for number, piece in enumerate(pieces):
        for name in ("cache_control", "citations"):
            if getattr(piece, name):
                yield f"{path}[{number}].{name}"


def _effort(request: MessagesRequest) -> Effort | None:
    """Return the effort. Thinking without an effort or a budget has Anthropic's own default, high."""
    thinking, output = request.thinking, request.output_config
    if thinking is not None and thinking.type == "disabled":
        return "none"
    if output is not None and output.effort is not None:
        return output.effort
    if thinking is None:
        return None
    return effort_of(thinking.budget_tokens)


def _effort_fields(request: MessagesRequest) -> tuple[str, ...]:
    """Return the fields that `_effort` is read from, without an effort that `disabled` overrides."""
    thinking, output = request.thinking, request.output_config
    is_measured = output is not None and output.effort is not None
    if thinking is None:
        return ("output_config.effort",)
    return ("thinking", "output_config.effort") if is_measured and thinking.type != "disabled" else ("thinking",)


def _inference(request: MessagesRequest) -> InferenceConfiguration:
    config: InferenceConfiguration = {"maxTokens": request.max_tokens}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    if request.stop_sequences:
        config["stopSequences"] = request.stop_sequences
    return config


def _system(request: MessagesRequest) -> list[SystemContentBlock]:
    if not request.system:
        return []
    if isinstance(request.system, str):
        return [{"text": request.system}]
    blocks: list[SystemContentBlock] = []
    for block in request.system:
        blocks.append({"text": block.text})
        if block.cache_control is not None:
            point: Any = _cache_point(block.cache_control)
            blocks.append(point)
    return blocks


def _message(message: Any, path: str) -> Message:
    if isinstance(message.content, str):
        return {"role": message.role, "content": [{"text": message.content}]}
    content: list[ContentBlock] = []
    for index, block in enumerate(message.content):
        if not _is_left_out(message, block):
            content += _blocks(block, f"{path}.content[{index}]")
    return {"role": message.role, "content": content}


def _is_left_out(message: Any, block: Any) -> bool:
    """Tell whether a block is left out.

    These are images of the model, which Converse accepts from the user only (ai-dial-adapter#306), and searches for
    tools with their results, because every tool is sent.
    """
    if isinstance(block, OtherBlock):
        is_search = block.type == "server_tool_use" and str(block.name).startswith(_TOOL_SEARCH)
        return is_search or block.type == _FOUND_TOOLS
    return message.role == "assistant" and isinstance(block, ImageBlock)


def _blocks(block: Block, path: str) -> list[ContentBlock]:
    """Return the block, and its cache point after it."""
    converted: ContentBlock
    match block:
        case TextBlock(citations=citations) if citations:
            cited = [to_converse(citation) for citation in citations]
            converted = {"citationsContent": {"content": [{"text": block.text}], "citations": cited}}
        case TextBlock():
            converted = {"text": block.text}
        case ImageBlock():
            converted = {"image": media.image_of(block, path)}
        case DocumentBlock():
            converted = {"document": media.document_of(block, path)}
        case SearchResultBlock():
            converted = {"searchResult": media.search_result_of(block)}
        case ThinkingBlock(thinking=text, signature=signature):
            reasoning = {"text": text, "signature": signature} if signature else {"text": text}
            converted = {"reasoningContent": {"reasoningText": reasoning}}  # type: ignore[typeddict-item]
        case RedactedThinkingBlock():
            converted = {"reasoningContent": {"redactedContent": block.data}}
        case ToolUseBlock():
            converted = {"toolUse": {"toolUseId": block.id, "name": block.name, "input": block.input}}
        case ToolResultBlock():
            return _result(block, path)
        case _:
            raise InvalidRequest(f"only Anthropic's own servers understand a block {block.type!r}", param=path)
    point = getattr(block, "cache_control", None)
    return [converted] if point is None else [converted, _cache_point(point)]


def _result(block: ToolResultBlock, path: str) -> list[ContentBlock]:
    """Return the result, and after it the last cache point of the result or its parts. A result cannot hold one."""
    parts: list[Any] = [{"text": block.content}] if isinstance(block.content, str) and block.content else []
    for index, part in enumerate(block.content if isinstance(block.content, list) else ()):
        match part:
            case ToolReferenceBlock():
                parts.append({"text": f"The tool {part.tool_name} was found; it can be called."})
            case TextBlock(citations=citations) if citations:
                parts += _blocks(part.model_copy(update={"citations": None}), path)
            case _:
                parts += _blocks(part, f"{path}.content[{index}]")
    content: list[ToolResultContentBlock] = [part for part in parts if "cachePoint" not in part]
    points = [part for part in parts if "cachePoint" in part]
    if block.cache_control is not None:
        points.append(_cache_point(block.cache_control))
    result: Any = {"toolUseId": block.tool_use_id, "content": content}
    if block.is_error:
        result["status"] = "error"
    return [{"toolResult": result}, *points[-1:]]


def _tool_config(request: MessagesRequest) -> ToolConfiguration | None:
    tools: list[Tool] = []
    for index, tool in enumerate(request.tools or ()):
        if not _is_tool_search(tool):
            tools.append({"toolSpec": _specification(tool, f"tools[{index}]")})
        if tool.cache_control is not None and tools and "cachePoint" not in tools[-1]:
            point: Any = _cache_point(tool.cache_control)
            tools.append(point)
    if not any("toolSpec" in tool for tool in tools):
        if request.tool_choice is not None and request.tool_choice.type in ("any", "tool"):
            raise InvalidRequest("needs tools", param="tool_choice")
        return None
    config: ToolConfiguration = {"tools": tools}
    if choice := _choice(request, {tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool}):
        config["toolChoice"] = choice
    return config


def _choice(request: MessagesRequest, declared: set[str]) -> ToolChoice | None:
    choice = request.tool_choice
    match choice.type if choice is not None else None:
        case "auto":
            return {"auto": {}}
        case "any":
            return {"any": {}}
        case "tool":
            name = choice.name if choice is not None else None
            if name not in declared:
                raise InvalidRequest(f"the tool {name!r} is not declared in tools", param="tool_choice.name")
            return {"tool": {"name": str(name)}}
        case _:
            return None


def _is_tool_search(tool: ToolIn) -> bool:
    return (tool.type or "").startswith(_TOOL_SEARCH)


def _specification(tool: ToolIn, path: str) -> ToolSpecification:
    if tool.type not in (None, "custom") or tool.input_schema is None:
        raise InvalidRequest("only Anthropic's own models know this tool: give an input_schema", param=path)
    specification: ToolSpecification = {"name": tool.name, "inputSchema": {"json": tool.input_schema}}
    if tool.description and tool.description.strip():
        specification["description"] = tool.description
    if tool.strict:
        specification["strict"] = True
    return specification


def _cache_point(control: CacheControl) -> ContentBlock:
    if control.ttl is None:
        return {"cachePoint": {"type": "default"}}
    return {"cachePoint": {"type": "default", "ttl": control.ttl}}
