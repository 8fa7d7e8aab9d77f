"""Cache points, as clients of OpenAI and of others mark them.

Sources:
- docs/reference/contracts/openai-chat.md#messages-and-parts
- docs/reference/contracts/mapping.md#messages-and-content
"""

from typing import Any, Literal, cast

from app.converse.content import ContentBlock
from app.dialects.http.documents import InputSchema


class CacheBreakpoint(InputSchema):
    """Everything up to here may be cached."""

    mode: Literal["explicit"] = "explicit"
    ttl: Literal["30m", "12h"] | None = None


class CacheControl(InputSchema):
    """Everything up to here may be cached, in Anthropic's format, which LiteLLM and OpenRouter accept here."""

    type: Literal["ephemeral"] = "ephemeral"
    ttl: Literal["5m", "1h"] | None = None


class Markable(InputSchema):
    """A part, message or tool that may end a cached prefix."""

    cache_control: CacheControl | None = None


def controlled(control: CacheControl) -> ContentBlock:
    """Return the cache point that `cache_control` asks for, to be placed after what it marks."""
    longer = {"ttl": "1h"} if control.ttl == "1h" else {}
    return cast(ContentBlock, {"cachePoint": {"type": "default", **longer}})


def cache_point(marked: CacheBreakpoint) -> ContentBlock:
    """Return the cache point of a breakpoint. Any `ttl` asks for Bedrock's longer one."""
    if marked.ttl is None:
        return {"cachePoint": {"type": "default"}}
    return {"cachePoint": {"type": "default", "ttl": "1h"}}


def cache_points_last(blocks: list[Any]) -> tuple[list[Any], list[Any]]:
    """Split the blocks of a tool's result into its content, which holds no cache points, and the last cache point."""
    content = [block for block in blocks if "cachePoint" not in block]
    return content, [block for block in blocks if "cachePoint" in block][-1:]
