"""Translates tools and the choice among them. Tools in a namespace, as Codex has, are flattened and restored."""

from collections.abc import Iterator

from app.converse.request import Tool as ConverseTool
from app.converse.request import ToolConfiguration
from app.dialects.openai.common.tools import FREE_TEXT, NO_PARAMETERS, specification
from app.dialects.openai.responses.schema_in import ResponseRequest, Tool, ToolChoice
from app.errors import InvalidRequest

_SEPARATOR = "__"
_CALLABLE = ("function", "custom")
# it prefixes the name of each of its tools
_LONGEST_NAMESPACE = 256

Namespaces = dict[str, tuple[str, str]]


def flat_name(namespace: str | None, name: str, path: str) -> str:
    """Return a tool's name for the model.

    Args:
        path: of the field with the namespace's name.

    Raises:
        InvalidRequest: the name of the namespace is too long.
    """
    if not namespace:
        return name
    _check_length(namespace, path)
    return f"{namespace}{_SEPARATOR}{name}"


def _check_length(namespace: str, path: str) -> None:
    if len(namespace) > _LONGEST_NAMESPACE:
        raise InvalidRequest(f"a namespace's name has at most {_LONGEST_NAMESPACE} letters", param=path)


class ToolChoiceResolver:
    """Finds the tools in namespaces that one choice names.

    Args:
        namespaces: of the tools that have one, by the names that a model knows.
    """

    def __init__(self, namespaces: Namespaces) -> None:
        self._flat: dict[tuple[str | None, str | None], list[str]] = {}
        for flat, (outer, own) in namespaces.items():
            for meant in ((outer, own), (outer, None), (None, own)):
                self._flat.setdefault(meant, []).append(flat)

    def resolve(self, kind: str, namespace: str | None, name: str | None) -> list[str] | None:
        """Return the names of all tools in a namespace, or of one name in one or any namespace; None if there are none.

        A second call with the same arguments returns an empty list.
        """
        wanted = (name, None) if kind == "namespace" else (namespace, name)
        flat = self._flat.get(wanted)
        if flat:
            self._flat[wanted] = []
        return flat


def namespaces(request: ResponseRequest) -> Namespaces:
    """Return namespace and name of the tools in namespaces, by their names for the model."""
    return {
        flat_name(tool.name, inner.name, f"tools[{index}].name"): (tool.name, inner.name)
        for index, tool in enumerate(request.tools or ())
        if tool.type == "namespace" and tool.name
        for inner in tool.tools or ()
        if inner.name and inner.type in _CALLABLE
    }


def custom_names(request: ResponseRequest) -> frozenset[str]:
    """Return the names, for the model, of custom tools, whose calls are unwrapped in the response."""
    return frozenset(
        flat_name(namespace, tool.name, f"tools[{index}].name")
        for index, outer in enumerate(request.tools or ())
        for namespace, tool in ((None, outer), *((outer.name, inner) for inner in outer.tools or ()))
        if tool.type == "custom" and tool.name
    )


def tool_config(request: ResponseRequest, ignored: list[str]) -> ToolConfiguration | None:
    """Return the toolConfig; None if there are no tools. Paths without effect are added to `ignored`.

    Raises:
        InvalidRequest: a tool without a name, one declared twice, or a choice of one that was not declared.
    """
    tools, names = _declare_all(request, ignored)
    choice = request.tool_choice
    if not tools:
        if choice not in (None, "none", "auto"):
            reason = "none of the tools can be called on this model" if request.tools else "it needs tools"
            raise InvalidRequest(reason, param="tool_choice")
        return None
    match choice:
        case "required":
            return {"tools": tools, "toolChoice": {"any": {}}}
        case "auto":
            return {"tools": tools, "toolChoice": {"auto": {}}}
        case ToolChoice(type="allowed_tools"):
            chosen = _allowed(choice, request, tools, names)
            return {"tools": chosen, "toolChoice": {"any": {}} if choice.mode == "required" else {"auto": {}}}
        case ToolChoice():
            meant = _resolve(choice, ToolChoiceResolver(namespaces(request)), names)
            if len(meant) > 1:
                raise InvalidRequest(f"{choice.name!r} is in several namespaces: say which", param="tool_choice")
            return {"tools": tools, "toolChoice": {"tool": {"name": meant[0]}}}
        case _:
            return {"tools": tools}


def _declare_all(request: ResponseRequest, ignored: list[str]) -> tuple[list[ConverseTool], set[str]]:
    """Return the declarations of all tools, and their names."""
    tools: list[ConverseTool] = []
    names: set[str] = set()
    for index, tool in enumerate(request.tools or ()):
        for declared in _declared(tool, f"tools[{index}]", ignored):
            name = declared["toolSpec"]["name"]
            if name in names:
                raise InvalidRequest(f"the tool {name!r} is declared twice", param=f"tools[{index}]")
            names.add(name)
            tools.append(declared)
    return tools, names


def _allowed(
    choice: ToolChoice, request: ResponseRequest, tools: list[ConverseTool], names: set[str]
) -> list[ConverseTool]:
    """Return those of the tools that `allowed_tools` names."""
    resolver = ToolChoiceResolver(namespaces(request))
    callable_ones = [each for each in choice.tools or () if each.type in (*_CALLABLE, "namespace")]
    allowed = {name for each in callable_ones for name in _resolve(each, resolver, names)}
    chosen = [tool for tool in tools if tool["toolSpec"]["name"] in allowed]
    if not chosen:
        raise InvalidRequest("allowed_tools must name tools", param="tool_choice")
    return chosen


def _resolve(chosen: ToolChoice, resolver: ToolChoiceResolver, declared: set[str]) -> list[str]:
    """Return the tools that a choice names, by their names for the model."""
    name = chosen.name
    if chosen.namespace is None and name is not None and name in declared:
        return [name]
    meant = resolver.resolve(chosen.type, chosen.namespace, name)
    if meant is None or name is None:
        raise InvalidRequest(f"the tool {name or chosen.type!r} is not declared in tools", param="tool_choice")
    return meant


def _declared(tool: Tool, path: str, ignored: list[str], namespace: str | None = None) -> Iterator[ConverseTool]:
    """Yield the declarations of a tool or namespace. Tools that only OpenAI's servers run, and the description of a
    namespace, are added to `ignored`.
    """
    if tool.type == "namespace":
        if namespace is not None:
            raise InvalidRequest("a namespace holds no other", param=path)
        if not tool.name:
            raise InvalidRequest("a namespace needs a name", param=f"{path}.name")
        _check_length(tool.name, f"{path}.name")
        if tool.description is not None:
            ignored.append(f"{path}.description")
        for index, inner in enumerate(tool.tools or ()):
            yield from _declared(inner, f"{path}.tools[{index}]", ignored, tool.name)
    elif tool.type not in _CALLABLE:
        ignored.append(path)
    elif not tool.name:
        raise InvalidRequest("a tool needs a name", param=f"{path}.name")
    elif tool.type == "custom":
        yield {"toolSpec": specification(flat_name(namespace, tool.name, path), tool.description, FREE_TEXT)}
    else:
        name, parameters = flat_name(namespace, tool.name, path), tool.parameters or NO_PARAMETERS
        yield {"toolSpec": specification(name, tool.description, parameters, strict=bool(tool.strict))}
