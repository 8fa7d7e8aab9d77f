"""Where a prompt may be cached, as OpenAI's clients mark it in a part. Contracts 1.1 and 5.1."""

from typing import Any, Literal

from app.converse.content import ContentBlock
from app.dialects.documents import Open


class CacheBreakpoint(Open):
    """Everything up to here may be cached."""

    mode: Literal["explicit"] = "explicit"
    ttl: Literal["30m", "12h"] | None = None


def cache_point(marked: CacheBreakpoint) -> ContentBlock:
    """The cache point that stands behind the part; a lifetime, of whatever length, asks for Bedrock's longer one."""
    if marked.ttl is None:
        return {"cachePoint": {"type": "default"}}
    return {"cachePoint": {"type": "default", "ttl": "1h"}}


def cache_points_last(blocks: list[Any]) -> tuple[list[Any], list[Any]]:
    """The content of a tool's result, which holds no cache points, and the one that stands behind the result."""
    content = [block for block in blocks if "cachePoint" not in block]
    return content, [block for block in blocks if "cachePoint" in block][-1:]
