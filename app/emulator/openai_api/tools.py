"""Tools of OpenAI's APIs, and text content, converted to Converse's."""

from app.wire.json import JsonObject


def converse_tool(tool: JsonObject) -> JsonObject:
    """Convert a function or a custom tool; the latter takes one text, `input`."""
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    if tool["type"] == "custom":
        schema = {"type": "object", "properties": {"input": {"type": "string"}}}
    return {"toolSpec": {"name": tool["name"], "inputSchema": {"json": schema}}}


def tool_config(tools: list[JsonObject], choice: object) -> JsonObject:
    """Convert declared functions and custom tools, each flat, and the choice of them."""
    chosen = _Choice(choice)
    offered = [tool for tool in tools if not chosen.names or tool["name"] in chosen.names]
    if not offered or choice == "none":
        return {}
    config: JsonObject = {"tools": [converse_tool(tool) for tool in offered]}
    if chosen.is_forced:
        named = len(chosen.names) == 1
        config["toolChoice"] = {"tool": {"name": chosen.names[0]}} if named else {"any": {}}
    return {"toolConfig": config}


class _Choice:
    """A `tool_choice`, of Responses or of Chat Completions, which nests what it names."""

    def __init__(self, choice: object) -> None:
        self.names: list[str] = []
        self.is_forced = choice == "required"
        if not isinstance(choice, dict):
            return
        inside = choice.get(str(choice.get("type")), choice)
        if isinstance(inside.get("tools"), list):
            self.names = [_name_of(tool) for tool in inside["tools"]]
            self.is_forced = inside.get("mode") == "required"
        else:
            self.names, self.is_forced = [_name_of(choice)], True


def _name_of(tool: JsonObject) -> str:
    return str(tool.get(str(tool.get("type")), tool).get("name"))


def text_of(content: str | list[JsonObject]) -> str:
    """The text of `content`; a part without text becomes its type in parentheses."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or f"({part.get('type')})" for part in content)
