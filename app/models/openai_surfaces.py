"""What the surfaces that speak OpenAI's Responses accept, beside functions, custom tools and messages."""

from msgspec import Struct

from app.converse.call import Surface
from app.models.capability_groups import NativeSurface

_SEARCH_ITEMS = frozenset({"tool_search_call", "tool_search_output"})
_MCP_ITEMS = frozenset({"mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"})
_PATCH_ITEMS = frozenset({"apply_patch_call", "apply_patch_call_output"})
_COMPUTER_ITEMS = frozenset({"computer_call", "computer_call_output"})


class ResponsesSurface(Struct, frozen=True):
    """What one surface accepts.

    tools: types of tools. items: types of items. service_tiers, reasoning_summaries: values; empty for all of them.
    urls: it fetches media by URL.
    """

    tools: frozenset[str] = frozenset({"function", "custom"})
    items: frozenset[str] = frozenset()
    service_tiers: frozenset[str] = frozenset()
    reasoning_summaries: frozenset[str] = frozenset()
    urls: bool = True


# The runtime names the tools that it accepts when it refuses another (litellm#38489, 2026-08). It runs no web search:
# "web search is not supported for this request". Mantle: litellm#38227 and its validation errors (2026-08 to 2026-11).
# The runtime takes media as data: or s3: only (litellm 1.110.2, 2026-11).
# An item is taken where its tool is; both accept `compaction` (litellm#38227).
RESPONSES_SURFACES: dict[NativeSurface, ResponsesSurface] = {
    Surface.OPENAI: ResponsesSurface(
        tools=frozenset({"function", "custom", "mcp", "apply_patch", "tool_search", "computer"}),
        items=frozenset({"compaction"}) | _SEARCH_ITEMS | _MCP_ITEMS | _PATCH_ITEMS | _COMPUTER_ITEMS,
        urls=False,
    ),
    Surface.MANTLE: ResponsesSurface(
        tools=frozenset({"function", "custom", "mcp", "tool_search", "web_search"}),
        items=frozenset({"compaction", "web_search_call"}) | _SEARCH_ITEMS | _MCP_ITEMS,
        service_tiers=frozenset({"auto", "default"}),
        reasoning_summaries=frozenset({"auto"}),
    ),
}


def responses_surface(surface: NativeSurface | str) -> ResponsesSurface:
    """Return what a surface accepts; that of Converse accepts only what can be translated."""
    return next((accepts for known, accepts in RESPONSES_SURFACES.items() if known == surface), ResponsesSurface())
