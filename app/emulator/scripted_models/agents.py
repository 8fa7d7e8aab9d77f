"""How models that are not scripted answer agents, which offer many tools with every prompt.

An agent gets plain text, unless the prompt says to use one of its tools: "Use Bash to run `ls`".
"""

import re

from app.converse.content import ToolUseBlock
from app.converse.request import ConverseRequest, ToolSpecification
from app.emulator.request_parts import tools_of
from app.emulator.scripted_models.schema_samples import sample_value
from app.emulator.scripted_models.script import Script
from app.wire.json import JsonObject

_MIN_TOOLS = 4
_ASKED = re.compile(r"\b[Uu]se (?:the (?:tool )?)?([\w.-]+)")
_QUOTED = re.compile(r"`([^`]+)`")


def is_agent(request: ConverseRequest) -> bool:
    """True for a request with as many tools as only agents offer."""
    return len(tools_of(request)) >= _MIN_TOOLS


def answer_agent(request: ConverseRequest) -> Script:
    """Call the tool that the prompt asks for, with what it has in backticks as text; without one, repeat the prompt."""
    prompt = _prompt(request)
    asked = set(_ASKED.findall(prompt))
    specifications = (tool["toolSpec"] for tool in tools_of(request) if "toolSpec" in tool)
    named = next((tool for tool in specifications if tool["name"] in asked), None)
    if named is None:
        return Script([{"text": f"This is a scripted answer. You asked: {prompt}"}])
    use: ToolUseBlock = {
        "toolUseId": f"tooluse_agent{len(request['messages']):017}",
        "name": named["name"],
        "input": _arguments(named, prompt),
    }
    return Script([{"text": f"I will use {named['name']}."}, {"toolUse": use}], "tool_use")


def _prompt(request: ConverseRequest) -> str:
    """Return the text of the last user turn that begins with a request for a tool, else its last text.

    Agents put notes of their own around it. Those that follow are instructions in the middle of a conversation, which
    join the user's turn where the model accepts no such message.
    """
    turns = (message["content"] for message in reversed(request["messages"]) if message["role"] == "user")
    texts = [block["text"].strip() for block in reversed(next(turns, [])) if "text" in block]
    return next((text for text in texts if _ASKED.match(text)), texts[0] if texts else "")


def _arguments(tool: ToolSpecification, prompt: str) -> JsonObject:
    """Return what the schema requires, and nothing optional. Quoted text of the prompt stands for the first string."""
    schema = tool["inputSchema"]["json"]
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    arguments = {name: sample_value(properties.get(name), schema) for name in required}
    quoted = _QUOTED.search(prompt)
    first = next((name for name, value in arguments.items() if isinstance(value, str)), None)
    if quoted and first is not None:
        arguments[first] = quoted[1]
    return arguments
