"""Tools: declarations that the history needs, and the choice that a model accepts.

Evidence: "The toolConfig field must be defined when using toolUse and toolResult content blocks" (pentagi#160); "This
model doesn't support the toolConfig.toolChoice.any field" (harness-sdk#1241).
"""

from typing import Any, cast

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.tool_names import adapt_call_ids, adapt_tool_names, called_names
from app.adaptation.tool_schemas import adapt_tool_schemas
from app.converse.content import ContentBlock, ToolResultBlock
from app.converse.request import Tool
from app.errors import InvalidRequest


def adapt_tools(adapted: AdaptedRequest) -> None:
    """Change toolConfig and the tool blocks of the history into those that the model accepts.

    Raises:
        InvalidRequest: there are tools, and the model accepts none.
    """
    names = called_names(adapted)
    if "toolConfig" not in adapted.body and not names:
        return
    _declare(adapted, names)
    if adapted.intent.forbid_tools:
        _forbid(adapted, is_needed=bool(names))
    if "toolConfig" in adapted.body:
        if not adapted.capabilities.tools.accepted:
            raise InvalidRequest("this model takes no tools", param="tools")
        _choose(adapted)
        adapt_tool_schemas(adapted)
        adapt_tool_names(adapted)
    adapt_call_ids(adapted)
    if not adapted.capabilities.turns.result_status:
        _drop_status(adapted)


def _drop_status(adapted: AdaptedRequest) -> None:
    """Drop the status of tool results: "This model doesn't support the status field" (pydantic-ai 2.68)."""
    if not any("status" in block.get("toolResult", {}) for block in adapted.blocks()):
        return
    adapted.body["messages"] = [
        {**message, "content": [_without_status(block) for block in message["content"]]}
        for message in adapted.body["messages"]
    ]
    adapted.adjust("tool_results")


def _without_status(block: ContentBlock) -> ContentBlock:
    result: Any = block.get("toolResult")
    if result is None:
        return block
    return {"toolResult": cast(ToolResultBlock, {name: value for name, value in result.items() if name != "status"})}


def _declare(adapted: AdaptedRequest, names: list[str]) -> None:
    """Declare the tools that the history calls where the caller declares none any more."""
    if "toolConfig" in adapted.body:
        return
    stubs: list[Tool] = [
        {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": {}}}}} for name in names
    ]
    adapted.body["toolConfig"] = {"tools": stubs}
    adapted.adjust("tools")


def _forbid(adapted: AdaptedRequest, *, is_needed: bool) -> None:
    """Forbid calls. The history may need the tools, and Converse has no choice of none."""
    if not is_needed:
        del adapted.body["toolConfig"]
        return
    adapted.body["toolConfig"] = {"tools": adapted.body["toolConfig"]["tools"]}
    if adapted.capabilities.tools.none_field:
        adapted.add_field("tool_choice", {"type": "none"})
        return
    adapted.add_instruction("Answer with text now, and call no tool.")
    adapted.mapping.drop_tool_calls = True
    adapted.adjust("tool_choice")


def unforce(adapted: AdaptedRequest, allowed: frozenset[str] = frozenset()) -> None:
    """Replace a forced choice that is not `allowed`.

    Where it named one tool, only that tool is offered, or the last turn names it if the list must not change.
    """
    config = adapted.body["toolConfig"]
    choice = config.get("toolChoice", {})
    if "auto" in choice or choice.keys() <= allowed:
        return
    named = _only(config["tools"], choice["tool"]["name"]) if "tool" in choice else []
    if named and adapted.capabilities.tools.fixed_list:
        adapted.body["toolConfig"] = {"tools": config["tools"]}
        adapted.add_to_last_turn(f"Call the tool {choice['tool']['name']} now.")
    elif named:
        adapted.body["toolConfig"] = {"tools": named}
        if "any" in allowed:
            adapted.body["toolConfig"]["toolChoice"] = {"any": {}}
            return
    else:
        adapted.body["toolConfig"] = {"tools": config["tools"]}
    adapted.adjust("tool_choice")


def _only(tools: list[Tool], name: str) -> list[Tool]:
    """Return the tool of a name with the last cache point of all tools; nothing if there is no such tool."""
    named = [tool for tool in tools if "toolSpec" in tool and tool["toolSpec"]["name"] == name]
    return [*named, *[tool for tool in tools if "cachePoint" in tool][-1:]] if named else []


def _choose(adapted: AdaptedRequest) -> None:
    unforce(adapted, adapted.capabilities.tools.choices)
    if adapted.intent.single_tool_call and not adapted.intent.forbid_tools:
        if adapted.capabilities.tools.single_call_field:
            # with `type` it would collide with toolConfig.toolChoice: docs/reference/contracts/mapping.md#parameters
            adapted.add_field("tool_choice", {"disable_parallel_tool_use": True})
        else:
            adapted.mapping.first_tool_only = True
            adapted.adjust("parallel_tool_calls")
