"""The definitions of tools in a body of Anthropic's Messages."""

from app.adaptation.invoke.adapted_body import AdaptedInvokeBody
from app.adaptation.invoke.betas import FINE_GRAINED_TOOLS, OF_TOOLS
from app.adaptation.invoke.cache_control import with_known_cache_control
from app.adaptation.schemas import without_unions
from app.errors import InvalidRequest
from app.wire.documents import text_in
from app.wire.json import JsonObject

# anthropic-sdk-python#948; litellm 1.110.2 refuses the first of them with advice
_HOSTED = ("web_search_", "web_fetch_", "code_execution_")
_WITH_SCHEMA = ("", "custom")


def adapt_tools(adapted: AdaptedInvokeBody) -> None:
    """Leave out what Bedrock or the model refuses in a tool.

    Raises:
        InvalidRequest: a tool has no schema, or is one that Anthropic's servers run.
    """
    tools = adapted.body.get("tools")
    if isinstance(tools, list):
        adapted.body["tools"] = [_tool(tool, f"tools[{index}]", adapted) for index, tool in enumerate(tools)]
        if any(isinstance(tool, dict) and tool.get("eager_input_streaming") for tool in tools):
            adapted.add_beta(FINE_GRAINED_TOOLS)


def _refuse_hosted(kind: str, path: str) -> None:
    """Raise InvalidRequest for a tool that Anthropic's servers run: Bedrock refuses it in words that name no tool."""
    if kind.startswith(_HOSTED):
        reason = f"Bedrock runs no {kind}: declare a tool with an input_schema and run it, or leave it out"
        raise InvalidRequest(reason, param=path)


def _tool(tool: object, path: str, adapted: AdaptedInvokeBody) -> object:
    if not isinstance(tool, dict):
        return tool
    kind = text_in(tool, "type")
    _refuse_hosted(kind, path)
    for beginning, beta in OF_TOOLS.items():
        if kind.startswith(beginning):
            adapted.add_beta(beta)
    made: JsonObject = tool
    custom = tool.get("custom")
    if isinstance(custom, dict):
        made = {**custom, **{name: value for name, value in tool.items() if name != "custom"}}
    made = with_known_cache_control(made, path, adapted).copy()
    made.pop("eager_input_streaming", None)
    if not adapted.capabilities.schemas.strict_tools and made.pop("strict", False):
        adapted.adjust("strict")
    schema = made.get("input_schema")
    if schema is None and kind in _WITH_SCHEMA:
        # Bedrock answers "Malformed input request", or names another member
        advice = 'give the tool an input_schema, such as {"type": "object"}'
        raise InvalidRequest(advice, param=f"{path}.input_schema")
    if isinstance(schema, dict) and not adapted.capabilities.schemas.top_level_unions:
        made["input_schema"] = without_unions(schema)
        if made["input_schema"] is not schema:
            adapted.adjust("tool_schema")
    return made
