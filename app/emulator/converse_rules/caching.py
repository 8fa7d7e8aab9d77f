"""Cache points: which models support them, how many, and in which order of lifetimes."""

from collections.abc import Sequence

from app.converse.content import CachePointBlock, ContentBlock
from app.converse.request import ConverseRequest, Message, SystemContentBlock, Tool
from app.emulator.catalog import Model
from app.emulator.errors import ServiceError, model_refused
from app.emulator.request_parts import tools_of

_MAX_CACHE_POINTS = 4
_HOUR = ("claude-4.5", "claude-4.6", "claude-5")


def check_caching(model: Model, request: ConverseRequest, messages: list[Message]) -> None:
    """Check all cache points of a request."""
    points = _cache_points(request, messages)
    if points and not model.caching:
        # litellm#39210
        raise ServiceError(
            "AccessDeniedException",
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for "
            "more information.",
        )
    _check_ttl(model, [point.get("ttl") or "5m" for point in points])
    if len(points) > _MAX_CACHE_POINTS:
        # twenty#26217
        raise model_refused(
            f"A maximum of {_MAX_CACHE_POINTS} blocks with cache_control may be provided. Found {len(points)}."
        )


def _cache_points(request: ConverseRequest, messages: list[Message]) -> list[CachePointBlock]:
    """The cache points in the order in which Bedrock processes them."""
    blocks: list[Tool | SystemContentBlock | ContentBlock] = [
        *tools_of(request),
        *(request.get("system") or ()),
        *(block for message in messages for block in message["content"]),
    ]
    return [block["cachePoint"] for block in blocks if "cachePoint" in block]


def _check_ttl(model: Model, lifetimes: Sequence[str]) -> None:
    """Longer lifetimes come first (Portkey gateway#1762); 1h is supported since Claude 4.5."""
    if "1h" in lifetimes and model.rules not in _HOUR:
        raise model_refused("cache_control.ttl: this model does not support a ttl of 1h.")
    if lifetimes != sorted(lifetimes, key=lambda ttl: ttl != "1h"):
        raise model_refused(
            "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
            "blocks are processed in the following order: `tools`, `system`, `messages`."
        )
