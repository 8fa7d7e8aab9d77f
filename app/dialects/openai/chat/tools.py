"""Translates tools, the choice among them, and calls of them.

Sources:
- docs/reference/contracts/mapping.md#messages-and-content
- docs/reference/contracts/mapping.md#parameters
"""

from collections.abc import Sequence

from app.converse.content import ToolUseBlock
from app.converse.request import Tool, ToolConfiguration
from app.dialects.openai.chat.schema_in import (
    AllowedTools,
    AllowedToolsChoice,
    ChatRequest,
    CustomChoice,
    CustomTool,
    CustomToolCall,
    FunctionChoice,
    FunctionTool,
    FunctionToolCall,
)
from app.dialects.openai.common.cache import controlled
from app.dialects.openai.common.tools import FREE_TEXT, NO_PARAMETERS, custom_use, function_use, specification
from app.errors import InvalidRequest


def custom_names(request: ChatRequest) -> frozenset[str]:
    """Return the names of custom tools, whose calls are unwrapped in the response."""
    return frozenset(tool.custom.name for tool in request.tools or () if isinstance(tool, CustomTool))


def tool_config(request: ChatRequest) -> ToolConfiguration | None:
    """Return the toolConfig; None if there are no tools.

    Raises:
        InvalidRequest: a choice without tools, or of a tool that was not declared.
    """
    choice = request.tool_choice
    offered = request.tools or []
    tools = _declared(offered)
    if not tools:
        if choice not in (None, "none", "auto"):
            raise InvalidRequest("tool_choice needs tools", param="tool_choice")
        return None
    match choice:
        case "required":
            return {"tools": tools, "toolChoice": {"any": {}}}
        case "auto":
            return {"tools": tools, "toolChoice": {"auto": {}}}
        case FunctionChoice() | CustomChoice():
            name = _name_of(choice)
            if name not in map(_name_of, offered):
                raise InvalidRequest(f"the tool {name!r} is not declared in tools", param="tool_choice")
            return {"tools": tools, "toolChoice": {"tool": {"name": name}}}
        case AllowedToolsChoice(allowed_tools=allowed):
            return _allowed(allowed, offered)
        case _:
            return {"tools": tools}


def _allowed(allowed: AllowedTools, offered: Sequence[FunctionTool | CustomTool]) -> ToolConfiguration:
    names = {_name_of(tool) for tool in allowed.tools}
    if not names or not names <= set(map(_name_of, offered)):
        raise InvalidRequest("allowed_tools names tools that are not declared", param="tool_choice")
    tools = _declared([tool for tool in offered if _name_of(tool) in names])
    return {"tools": tools, "toolChoice": {"any": {}} if allowed.mode == "required" else {"auto": {}}}


def tool_use(call: FunctionToolCall | CustomToolCall, path: str, ignored: list[str]) -> ToolUseBlock:
    """Translate an earlier call of the model; see `function_use`."""
    if isinstance(call, CustomToolCall):
        return custom_use(call.id, call.custom.name, call.custom.input)
    arguments = f"{path}.function.arguments"
    return function_use(call.id, call.function.name, call.function.arguments, arguments, ignored)


def _name_of(named: FunctionChoice | CustomChoice | FunctionTool | CustomTool) -> str:
    return named.function.name if isinstance(named, FunctionChoice | FunctionTool) else named.custom.name


def _declared(tools: Sequence[FunctionTool | CustomTool]) -> list[Tool]:
    """Return the declarations of tools, each followed by its cache point."""
    declared: list[Tool] = []
    for tool in tools:
        declared.append(_declaration(tool))
        if tool.cache_control is not None:
            declared.append({"cachePoint": controlled(tool.cache_control)["cachePoint"]})
    return declared


def _declaration(tool: FunctionTool | CustomTool) -> Tool:
    if isinstance(tool, CustomTool):
        return {"toolSpec": specification(tool.custom.name, tool.custom.description, FREE_TEXT)}
    function = tool.function
    parameters = function.parameters or NO_PARAMETERS
    return {"toolSpec": specification(function.name, function.description, parameters, strict=bool(function.strict))}
