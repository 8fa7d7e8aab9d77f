"""Tools, the choice among them, and calls of them. Contracts 5.1 and 5.2.

A custom tool takes free text, which Converse has not: it is declared as a tool with one member, `input`, and unwrapped
on the way back.
"""

from app.converse.content import ToolUseBlock
from app.converse.request import Tool, ToolChoice, ToolConfiguration, ToolSpecification
from app.dialects.openai_chat.schema_in import (
    AllowedToolsChoice,
    ChatRequest,
    CustomChoice,
    CustomTool,
    CustomToolCall,
    FunctionChoice,
    FunctionTool,
    FunctionToolCall,
)
from app.errors import InvalidRequest
from app.kit import json

_CUSTOM_INPUT = "input"

_NO_PARAMETERS = {"type": "object", "properties": {}}
_FREE_TEXT = {"type": "object", "properties": {_CUSTOM_INPUT: {"type": "string"}}, "required": [_CUSTOM_INPUT]}


def custom_names(request: ChatRequest) -> frozenset[str]:
    """The names of the custom tools, whose calls are unwrapped on the way back."""
    return frozenset(tool.custom.name for tool in request.tools or () if isinstance(tool, CustomTool))


def tool_config(request: ChatRequest) -> ToolConfiguration | None:
    """The toolConfig, or None where there are no tools.

    Raises:
        InvalidRequest: a choice without tools, or of a tool that was not declared.
    """
    choice = request.tool_choice
    tools = [_declaration(tool) for tool in request.tools or ()]
    if not tools:
        if choice not in (None, "none", "auto"):
            raise InvalidRequest("tool_choice needs tools", param="tool_choice")
        return None
    declared = {tool["toolSpec"]["name"] for tool in tools}
    match choice:
        case "required":
            return _config(tools, {"any": {}})
        case "auto":
            return _config(tools, {"auto": {}})
        case FunctionChoice() | CustomChoice():
            name = _name_of(choice)
            if name not in declared:
                raise InvalidRequest(f"the tool {name!r} is not declared in tools", param="tool_choice")
            return _config(tools, {"tool": {"name": name}})
        case AllowedToolsChoice(allowed_tools=allowed):
            names = {_name_of(tool) for tool in allowed.tools}
            if not names <= declared or not names:
                raise InvalidRequest("allowed_tools names tools that are not declared", param="tool_choice")
            chosen = [tool for tool in tools if tool["toolSpec"]["name"] in names]
            return _config(chosen, {"any": {}} if allowed.mode == "required" else {"auto": {}})
        case _:
            return {"tools": tools}


def tool_use(call: FunctionToolCall | CustomToolCall, path: str) -> ToolUseBlock:
    """A call that the model made, said back to it.

    Raises:
        InvalidRequest: the arguments of a function are not a JSON object.
    """
    if isinstance(call, CustomToolCall):
        return {"toolUseId": call.id, "name": call.custom.name, "input": {_CUSTOM_INPUT: call.custom.input}}
    try:
        arguments = json.loads(call.function.arguments.strip() or "{}")
    except json.JsonError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest("arguments must be a JSON object, as text", param=f"{path}.function.arguments")
    return {"toolUseId": call.id, "name": call.function.name, "input": arguments}


def custom_input(arguments: str) -> str:
    """The free text of a custom tool's call; what does not have the declared shape is given as it came."""
    try:
        document = json.loads(arguments)
    except json.JsonError:
        return arguments
    text = document.get(_CUSTOM_INPUT) if isinstance(document, dict) else None
    return text if isinstance(text, str) else arguments


def _config(tools: list[Tool], choice: ToolChoice) -> ToolConfiguration:
    return {"tools": tools, "toolChoice": choice}


def _name_of(choice: FunctionChoice | CustomChoice) -> str:
    return choice.function.name if isinstance(choice, FunctionChoice) else choice.custom.name


def _declaration(tool: FunctionTool | CustomTool) -> Tool:
    if isinstance(tool, CustomTool):
        return {"toolSpec": _spec(tool.custom.name, tool.custom.description, _FREE_TEXT)}
    function = tool.function
    spec = _spec(function.name, function.description, function.parameters or _NO_PARAMETERS)
    if function.strict:
        spec["strict"] = True
    return {"toolSpec": spec}


def _spec(name: str, description: str | None, schema: object) -> ToolSpecification:
    spec: ToolSpecification = {"name": name, "inputSchema": {"json": schema}}
    if description and description.strip():
        spec["description"] = description
    return spec
