"""The order of blocks in a turn: tool results first, cache points directly after content that can be cached.

A cache point before all content has "nothing available to cache" (strands harness-sdk#3677).
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from app.adaptation.adapted_request import AdaptedRequest
from app.converse.content import ContentBlock
from app.converse.request import Message

Block = TypeVar("Block", bound=Mapping[str, object])

# "Cache point cannot be inserted after reasoning block" (opencode#36517)
_UNCACHEABLE = frozenset({"cachePoint", "reasoningContent"})


def order_blocks(adapted: AdaptedRequest) -> None:
    """Put tool results before all other blocks of the user's turns, and drop cache points that cache nothing."""
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content = message["content"]
        if message["role"] == "user":
            content = _results_first(content)
            if content != message["content"]:
                adapted.adjust("tool_results")
        messages.append({"role": message["role"], "content": without_loose_cache_points(content, adapted)})
    adapted.body["messages"] = messages


def without_loose_cache_points(blocks: Sequence[Block], adapted: AdaptedRequest) -> list[Block]:
    """Return the blocks without the cache points that have nothing directly before them that can be cached."""
    kept: list[Block] = []
    for block in blocks:
        if "cachePoint" in block and (not kept or kept[-1].keys() & _UNCACHEABLE):
            adapted.adjust("cache_points")
        else:
            kept.append(block)
    return kept


def _results_first(content: list[ContentBlock]) -> list[ContentBlock]:
    """Return tool results, then all other blocks, each with the cache points that follow it."""
    results: list[ContentBlock] = []
    others: list[ContentBlock] = []
    last = others
    for block in content:
        if "cachePoint" not in block:
            last = results if "toolResult" in block else others
        last.append(block)
    return results + others
