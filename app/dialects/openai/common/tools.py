"""Tools as OpenAI's clients declare and call them, as Converse's.

A custom tool takes free text, which Converse has not: it is declared as a tool with one member, `input`, and unwrapped
on the way back.

Sources:
- docs/reference/contracts/mapping.md#messages-and-content
- docs/reference/contracts/mapping.md#parameters
"""

from app.converse.content import ToolUseBlock
from app.converse.request import ToolSpecification
from app.wire import json

_CUSTOM_INPUT = "input"
NO_PARAMETERS = {"type": "object", "properties": {}}
FREE_TEXT = {"type": "object", "properties": {_CUSTOM_INPUT: {"type": "string"}}, "required": [_CUSTOM_INPUT]}


def specification(name: str, description: str | None, schema: object, *, strict: bool = False) -> ToolSpecification:
    """The declaration of a tool."""
    spec: ToolSpecification = {"name": name, "inputSchema": {"json": schema}}
    if description and description.strip():
        spec["description"] = description
    if strict:
        spec["strict"] = True
    return spec


def function_use(call_id: str, name: str, arguments: str, path: str, ignored: list[str]) -> ToolUseBlock:
    """A call of a function, said back to the model.

    Arguments that are no JSON object have no effect: a model gave them out that broke off, and no caller can mend them.

    Args:
        path: of the field that holds the arguments. ignored: gets the path where they have no effect.
    """
    try:
        parsed = json.loads(arguments.strip() or "{}")
    except json.JsonError:
        parsed = None
    if not isinstance(parsed, dict):
        ignored.append(path)
        parsed = {}
    return {"toolUseId": call_id, "name": name, "input": parsed}


def custom_use(call_id: str, name: str, text: str) -> ToolUseBlock:
    """A call of a custom tool, said back to the model."""
    return {"toolUseId": call_id, "name": name, "input": {_CUSTOM_INPUT: text}}


def custom_input(arguments: str) -> str:
    """The free text of a custom tool's call; what does not have the declared shape is given as it came."""
    try:
        document = json.loads(arguments)
    except json.JsonError:
        return arguments
    if document == {}:
        return ""
    text = document.get(_CUSTOM_INPUT) if isinstance(document, dict) else None
    return text if isinstance(text, str) else arguments
