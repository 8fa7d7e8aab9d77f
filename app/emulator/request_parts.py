"""Parts of a Converse request that several modules read."""

from app.converse.content import ToolResultBlock
from app.converse.request import ConverseRequest, OutputFormat, Tool
from app.wire.json import JsonObject


def model_fields(request: ConverseRequest) -> JsonObject:
    """`additionalModelRequestFields`; empty where it is not an object."""
    fields = request.get("additionalModelRequestFields")
    return fields if isinstance(fields, dict) else {}


def tools_of(request: ConverseRequest) -> list[Tool]:
    """`toolConfig.tools`; empty where there is no `toolConfig`."""
    config = request.get("toolConfig")
    return config["tools"] if config else []


def text_format(request: ConverseRequest) -> OutputFormat | None:
    """`outputConfig.textFormat`."""
    config = request.get("outputConfig")
    return config.get("textFormat") if config else None


def last_user_text(request: ConverseRequest) -> str:
    """The text of the last user turn."""
    for message in reversed(request["messages"]):
        if message["role"] == "user":
            return "\n".join(block["text"] for block in message["content"] if "text" in block)
    return ""


def last_tool_results(request: ConverseRequest) -> list[ToolResultBlock]:
    """The tool results of the last turn; a system turn may follow it, as Claude Code sends one."""
    turns = [message for message in request["messages"] if message["role"] != "system"] or request["messages"]
    return [block["toolResult"] for block in turns[-1]["content"] if "toolResult" in block]
