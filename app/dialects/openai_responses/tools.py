"""Tools and the choice among them. Those in a namespace, as Codex has, are flattened for the model and restored."""

from collections.abc import Iterator
from typing import Any

from app.converse.request import Tool as ConverseTool
from app.converse.request import ToolConfiguration
from app.dialects.openai_responses.schema_in import ResponseRequest, Tool, ToolChoice
from app.dialects.openai_tools import FREE_TEXT, NO_PARAMETERS, specification
from app.errors import InvalidRequest

_SEPARATOR = "__"


def flat_name(namespace: str | None, name: str) -> str:
    """The name by which a model knows a tool."""
    return f"{namespace}{_SEPARATOR}{name}" if namespace else name


def namespaces(request: ResponseRequest) -> dict[str, tuple[str, str]]:
    """Namespace and name of the tools that have one, by the name that a model knows."""
    return {
        flat_name(tool.name, inner.name): (tool.name, inner.name)
        for tool in request.tools or ()
        if tool.type == "namespace" and tool.name
        for inner in tool.tools or ()
        if inner.name
    }


def custom_names(request: ResponseRequest) -> frozenset[str]:
    """The custom tools, whose calls are unwrapped on the way back, by the names that a model knows."""
    return frozenset(
        flat_name(namespace, tool.name)
        for outer in request.tools or ()
        for namespace, tool in ((None, outer), *((outer.name, inner) for inner in outer.tools or ()))
        if tool.type == "custom" and tool.name
    )


def tool_config(request: ResponseRequest, ignored: list[str]) -> ToolConfiguration | None:
    """The toolConfig, or None where there are no tools; what only OpenAI's servers run is added to `ignored`.

    Raises:
        InvalidRequest: a tool without a name, one declared twice, or a choice of one that was not declared.
    """
    tools: list[ConverseTool] = []
    names: set[str] = set()
    for place, tool in enumerate(request.tools or ()):
        declared = list(_declared(tool, f"tools[{place}]"))
        if not declared:
            ignored.append(f"tools[{place}]")
        for each in declared:
            name = each["toolSpec"]["name"]
            if name in names:
                raise InvalidRequest(f"the tool {name!r} is declared twice", param=f"tools[{place}]")
            names.add(name)
        tools += declared
    choice = request.tool_choice
    if not tools:
        if choice not in (None, "none", "auto"):
            raise InvalidRequest("tool_choice needs tools", param="tool_choice")
        return None
    match choice:
        case "required":
            return {"tools": tools, "toolChoice": {"any": {}}}
        case "auto":
            return {"tools": tools, "toolChoice": {"auto": {}}}
        case ToolChoice(type="allowed_tools"):
            wanted = {name for each in choice.tools or () for name in _meant(each, request, names)}
            chosen = [tool for tool in tools if tool["toolSpec"]["name"] in wanted]
            if not chosen:
                raise InvalidRequest("allowed_tools must name tools", param="tool_choice")
            return {"tools": chosen, "toolChoice": {"any": {}} if choice.mode == "required" else {"auto": {}}}
        case ToolChoice():
            meant = _meant(choice.model_dump(), request, names)
            if len(meant) > 1:
                raise InvalidRequest(f"{choice.name!r} is in several namespaces: say which", param="tool_choice")
            return {"tools": tools, "toolChoice": {"tool": {"name": meant.pop()}}}
        case _:
            return {"tools": tools}


def _meant(chosen: dict[str, Any], request: ResponseRequest, declared: set[str]) -> set[str]:
    """The tools that a choice means, by the model's names: its own name, one in a namespace, or a whole namespace."""
    kind, name, namespace = chosen.get("type"), chosen.get("name"), chosen.get("namespace")
    if namespace is None and name in declared:
        return {str(name)}
    wanted = (name, None) if kind == "namespace" else (namespace, name)
    meant = {
        flat
        for flat, (outer, own) in namespaces(request).items()
        if wanted[0] in (None, outer) and wanted[1] in (None, own)
    }
    if not meant or name is None:
        raise InvalidRequest(f"the tool {name or kind!r} is not declared in tools", param="tool_choice")
    return meant


def _declared(tool: Tool, path: str, namespace: str | None = None) -> Iterator[ConverseTool]:
    """The declarations that a tool amounts to; none for those that OpenAI's servers run."""
    if tool.type not in ("function", "custom", "namespace"):
        return
    if not tool.name:
        raise InvalidRequest("a tool needs a name", param=f"{path}.name")
    if tool.type == "namespace":
        for place, inner in enumerate(tool.tools or ()):
            yield from _declared(inner, f"{path}.tools[{place}]", tool.name)
    elif tool.type == "custom":
        yield {"toolSpec": specification(flat_name(namespace, tool.name), tool.description, FREE_TEXT)}
    else:
        name, parameters = flat_name(namespace, tool.name), tool.parameters or NO_PARAMETERS
        yield {"toolSpec": specification(name, tool.description, parameters, strict=bool(tool.strict))}
