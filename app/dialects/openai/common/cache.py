"""Where a prompt may be cached, as OpenAI's clients mark it in a part, and those of others.

Sources:
- docs/reference/contracts/openai-chat.md#messages-and-parts
- docs/reference/contracts/mapping.md#messages-and-content
"""

from typing import Any, Literal, cast

from app.converse.content import ContentBlock
from app.dialects.http.documents import Open


class CacheBreakpoint(Open):
    """Everything up to here may be cached."""

    mode: Literal["explicit"] = "explicit"
    ttl: Literal["30m", "12h"] | None = None


class CacheControl(Open):
    """Everything up to here may be cached, in Anthropic's words, which LiteLLM and OpenRouter take in chat requests."""

    type: Literal["ephemeral"] = "ephemeral"
    ttl: Literal["5m", "1h"] | None = None


class Markable(Open):
    """What may stand at the end of something that is cached."""

    cache_control: CacheControl | None = None


def controlled(marked: Markable) -> list[ContentBlock]:
    """The cache point behind what `cache_control` marks; none where nothing is marked."""
    if marked.cache_control is None:
        return []
    longer = {"ttl": "1h"} if marked.cache_control.ttl == "1h" else {}
    return [cast(ContentBlock, {"cachePoint": {"type": "default", **longer}})]


def cache_point(marked: CacheBreakpoint) -> ContentBlock:
    """The cache point that stands behind the part; a lifetime, of whatever length, asks for Bedrock's longer one."""
    if marked.ttl is None:
        return {"cachePoint": {"type": "default"}}
    return {"cachePoint": {"type": "default", "ttl": "1h"}}


def cache_points_last(blocks: list[Any]) -> tuple[list[Any], list[Any]]:
    """The content of a tool's result, which holds no cache points, and the one that stands behind the result."""
    content = [block for block in blocks if "cachePoint" not in block]
    return content, [block for block in blocks if "cachePoint" in block][-1:]
