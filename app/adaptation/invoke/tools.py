"""The definitions of tools in a body of Anthropic's Messages."""

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.betas import FINE_GRAINED_TOOLS
from app.adaptation.invoke.cache_control import with_known_cache_control
from app.adaptation.schemas import without_unions
from app.wire.json import JsonObject


def adapt_tools(adapted: AdaptedInvokeBody) -> None:
    """Leave out what Bedrock or the model refuses in a tool."""
    tools = adapted.body.get("tools")
    if isinstance(tools, list):
        adapted.body["tools"] = [_tool(tool, f"tools[{index}]", adapted) for index, tool in enumerate(tools)]
        if any(isinstance(tool, dict) and tool.get("eager_input_streaming") for tool in tools):
            adapted.add_beta(FINE_GRAINED_TOOLS)


def _tool(tool: object, path: str, adapted: AdaptedInvokeBody) -> object:
    if not isinstance(tool, dict):
        return tool
    made: JsonObject = tool
    custom = tool.get("custom")
    if isinstance(custom, dict):
        made = {**custom, **{name: value for name, value in tool.items() if name != "custom"}}
    made = with_known_cache_control(made, path, adapted).copy()
    made.pop("eager_input_streaming", None)
    if not adapted.capabilities.schemas.strict_tools and made.pop("strict", False):
        adapted.adjust("strict")
    schema = made.get("input_schema")
    if isinstance(schema, dict) and not adapted.capabilities.schemas.top_level_unions:
        made["input_schema"] = without_unions(schema)
        if made["input_schema"] is not schema:
            adapted.adjust("tool_schema")
    return made
