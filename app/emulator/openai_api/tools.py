"""Tools of OpenAI's APIs, and text content, converted to Converse's."""

from app.wire.json import JsonObject


def converse_tool(tool: JsonObject) -> JsonObject:
    """Convert a function or a custom tool; the latter takes one text, `input`."""
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    if tool["type"] == "custom":
        schema = {"type": "object", "properties": {"input": {"type": "string"}}}
    return {"toolSpec": {"name": tool["name"], "inputSchema": {"json": schema}}}


def text_of(content: str | list[JsonObject]) -> str:
    """The text of `content`; a part without text becomes its type in parentheses."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or f"({part.get('type')})" for part in content)
