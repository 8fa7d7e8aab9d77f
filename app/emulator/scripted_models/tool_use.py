"""Scenarios that call tools, and answer once the tools have."""

import hashlib

from app.converse.content import ContentBlock, ToolResultBlock, ToolResultContentBlock, ToolUseBlock
from app.converse.request import ConverseRequest, ToolSpecification
from app.emulator.request_parts import last_tool_results, tools_of
from app.emulator.scripted_models.plain_text import echo
from app.emulator.scripted_models.schema_samples import sample_value
from app.emulator.scripted_models.script import Script
from app.wire import json


def call_one(request: ConverseRequest) -> Script:
    """Say something, and call one tool."""
    return _call(request, 1, "I will look that up.")


def call_in_parallel(request: ConverseRequest) -> Script:
    """Say something, and call every tool, at least twice in all."""
    return _call(request, max(2, len(tools_of(request))), "I will look both up.")


def call_only(request: ConverseRequest) -> Script:
    """Call one tool without a word."""
    return _call(request, 1, "")


def call_server_tool(_: ConverseRequest) -> Script:
    """Use a tool that runs at AWS."""
    use: ToolUseBlock = {
        "toolUseId": "tooluse_server0000000000000",
        "name": "nova_code_interpreter",
        "input": {"snippet": "6 * 7"},
        "type": "server_tool_use",
    }
    result: ToolResultBlock = {
        "toolUseId": use["toolUseId"],
        "type": "nova_code_interpreter_result",
        "status": "success",
        "content": [{"json": {"stdOut": "42", "stdErr": "", "exitCode": 0, "isError": False}}],
    }
    return Script([{"toolUse": use}, {"toolResult": result}, {"text": "The answer is 42."}])


def _call(request: ConverseRequest, count: int, introduction: str) -> Script:
    if results := last_tool_results(request):
        return _report(results)
    calls = _calls(request, count)
    if not calls:
        return echo(request)
    opening: list[ContentBlock] = [{"text": introduction}] if introduction else []
    return Script([*opening, *calls], "tool_use")


def _report(results: list[ToolResultBlock]) -> Script:
    texts = [_text_of(part) for result in results for part in result["content"]]
    return Script([{"text": f"The tools said: {'; '.join(texts)}"}])


def _text_of(part: ToolResultContentBlock) -> str:
    if "json" in part:
        return json.dumps_text(part["json"])
    return part.get("text") or next(iter(part))


def _calls(request: ConverseRequest, count: int) -> list[ContentBlock]:
    """Calls of the declared tools in turn, or of the one that `toolChoice` names."""
    specifications = _callable_tools(request)
    calls: list[ContentBlock] = []
    for number in range(count if specifications else 0):
        tool = specifications[number % len(specifications)]
        arguments = sample_value(tool["inputSchema"]["json"])
        digest = hashlib.sha256(f"{number}{tool['name']}{json.dumps_text(request['messages'])}".encode()).hexdigest()
        calls.append({"toolUse": {"toolUseId": f"tooluse_{digest[:22]}", "name": tool["name"], "input": arguments}})
    return calls


def _callable_tools(request: ConverseRequest) -> list[ToolSpecification]:
    specifications = [tool["toolSpec"] for tool in tools_of(request) if "toolSpec" in tool]
    config = request.get("toolConfig")
    choice = config.get("toolChoice") if config else None
    named = choice.get("tool") if choice else None
    return [tool for tool in specifications if named is None or named["name"] in (None, tool["name"])]
