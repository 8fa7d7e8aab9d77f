"""Cache points: only where the model accepts them, at most four, and with a `ttl` only where the model accepts one.

Evidence: "You invoked an unsupported model or your request did not allow prompt caching", a 403 (litellm#39210);
"A maximum of 4 blocks with cache_control may be provided" (twenty#26217); on Nova "extraneous key [cachePoint] is not
permitted" among the tools (LibreChat#13838). One hour is for Claude 4.5 and later only. See
bifrost#1935 and litellm#29432.

Source: docs/reference/contracts/converse-rules.md#cache-points
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

from app.adaptation.adapted_request import AdaptedRequest
from app.converse.content import CachePointBlock

_MAX_POINTS = 4


def adapt_caching(adapted: AdaptedRequest) -> None:
    """Remove cache points, or their `ttl`, that the model refuses. This changes the price, not the content.

    Of too many, the last ones are kept, since each covers everything before it.
    """
    if not adapted.capabilities.caching.accepted:
        _map_points(adapted, lambda _: None)
        return
    if not adapted.capabilities.caching.tools and "toolConfig" in adapted.body:
        config = adapted.body["toolConfig"]
        tools = [tool for tool in config["tools"] if "cachePoint" not in tool]
        if len(tools) < len(config["tools"]):
            adapted.body["toolConfig"] = {**config, "tools": tools}
            adapted.adjust("cache_points")
    _map_points(adapted, _Shortening(adapted.capabilities.caching.ttl))
    surplus = _count(adapted) - _MAX_POINTS

    def without_surplus(point: CachePointBlock) -> CachePointBlock | None:
        nonlocal surplus
        surplus -= 1
        return point if surplus < 0 else None

    if surplus > 0:
        _map_points(adapted, without_surplus)


class _Shortening:
    """Removes a point's `ttl` where the model refuses it, or after a shorter one (Portkey gateway#1762)."""

    def __init__(self, may_be_long: bool) -> None:
        self._may_be_long = may_be_long

    def __call__(self, point: CachePointBlock) -> CachePointBlock:
        if point.get("ttl") == "1h" and self._may_be_long:
            return point
        self._may_be_long = False
        return point if "ttl" not in point else {"type": point["type"]}


def _count(adapted: AdaptedRequest) -> int:
    body = adapted.body
    tools = body["toolConfig"]["tools"] if "toolConfig" in body else []
    return sum("cachePoint" in block for block in chain(body.get("system", []), tools, adapted.blocks()))


def _map_points(adapted: AdaptedRequest, change: Callable[[CachePointBlock], CachePointBlock | None]) -> None:
    """Replace every cache point, in the order tools, system, messages, by the result of `change`; None drops it."""
    body = adapted.body

    def changed(blocks: list[Any]) -> list[Any]:
        kept = []
        for block in blocks:
            if "cachePoint" not in block:
                kept.append(block)
                continue
            point = change(block["cachePoint"])
            if point is not block["cachePoint"]:
                adapted.adjust("cache_points")
            if point is not None:
                kept.append({"cachePoint": point})
        return kept

    if "toolConfig" in body:
        body["toolConfig"] = {**body["toolConfig"], "tools": changed(body["toolConfig"]["tools"])}
    if "system" in body:
        body["system"] = changed(body["system"])
    body["messages"] = [{**message, "content": changed(message["content"])} for message in body["messages"]]
