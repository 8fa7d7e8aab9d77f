"""Translates tools and calls of OpenAI's clients to Converse's.

A custom tool takes free text. Converse has no such tools: it is declared with one member, `input`, which is unwrapped
in the response.

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
    """Return the declaration of a tool."""
    spec: ToolSpecification = {"name": name, "inputSchema": {"json": schema}}
    if description and description.strip():
        spec["description"] = description
    if strict:
        spec["strict"] = True
    return spec


def function_use(call_id: str, name: str, arguments: str, path: str, ignored: list[str]) -> ToolUseBlock:
    """Return an earlier call of a function.

    Arguments that are not a JSON object become an empty one: the model's output was truncated, and the caller cannot
    complete it.

    Args:
        path: of the field that holds the arguments. ignored: gets the path if they have no effect.
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
    """Return an earlier call of a custom tool."""
    return {"toolUseId": call_id, "name": name, "input": {_CUSTOM_INPUT: text}}


def custom_input(arguments: str) -> str:
    """Return the free text of a custom tool's call, or the arguments unchanged if they have another shape."""
    try:
        document = json.loads(arguments)
    except json.JsonError:
        return arguments
    if document == {}:
        return ""
    text = document.get(_CUSTOM_INPUT) if isinstance(document, dict) else None
    return text if isinstance(text, str) else arguments
