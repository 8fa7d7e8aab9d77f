"""The definitions of tools in a body of Anthropic's Messages."""

from typing import Any

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.betas import FINE_GRAINED_TOOLS
from app.adaptation.invoke.cache_control import with_known_cache_control
from app.adaptation.schemas import without_unions


def adapt_tools(adapted: AdaptedInvokeBody) -> None:
    """Leave out what Bedrock or the model refuses in a tool."""
    tools = adapted.body.get("tools")
    if isinstance(tools, list):
        adapted.body["tools"] = [_tool(tool, f"tools[{index}]", adapted) for index, tool in enumerate(tools)]
        if any(isinstance(tool, dict) and tool.get("eager_input_streaming") for tool in tools):
            adapted.add_beta(FINE_GRAINED_TOOLS)


def _tool(tool: Any, path: str, adapted: AdaptedInvokeBody) -> Any:
    if not isinstance(tool, dict):
        return tool
    custom = tool.get("custom")
    if isinstance(custom, dict):
        tool = {**custom, **{name: value for name, value in tool.items() if name != "custom"}}
    tool = with_known_cache_control(tool, path, adapted).copy()
    tool.pop("eager_input_streaming", None)
    if not adapted.capabilities.schemas.strict_tools and tool.pop("strict", False):
        adapted.adjust("strict")
    schema = tool.get("input_schema")
    if isinstance(schema, dict) and not adapted.capabilities.schemas.top_level_unions:
        tool["input_schema"] = without_unions(schema)
        if tool["input_schema"] is not schema:
            adapted.adjust("tool_schema")
    return tool
