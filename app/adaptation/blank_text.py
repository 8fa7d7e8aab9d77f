"""Blank texts, and turns and results without content.

Evidence: "The text field in the ContentBlock object … is blank" (langchain-aws#403, OpenHands#5339). A tool's result
must not be empty if it failed, nor on Nova at all (stdapi.ai#226).
"""

from collections.abc import Mapping
from typing import Any

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest
from app.adaptation.block_order import without_loose_cache_points
from app.converse.content import ContentBlock
from app.converse.request import Message


def drop_blank_system(adapted: AdaptedRequest) -> None:
    """Drop blank texts of the system prompt, then cache points without content before them, then an empty prompt."""
    system = adapted.body.get("system")
    if system is None:
        return
    kept = [block for block in system if not _is_blank(block)]
    if len(kept) < len(system):
        adapted.adjust("blank_text")
    kept = without_loose_cache_points(kept, adapted)
    if kept:
        adapted.body["system"] = kept
    else:
        del adapted.body["system"]


def drop_blank_text(adapted: AdaptedRequest) -> None:
    """Drop blank texts of turns and tool results, then turns without content."""
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content = [_result_without_blanks(block, adapted) for block in message["content"] if not _is_blank(block)]
        if len(content) < len(message["content"]) or not content:
            adapted.adjust("blank_text")
        if any("cachePoint" not in block for block in content):
            messages.append({"role": message["role"], "content": content})
    adapted.body["messages"] = messages


def _result_without_blanks(block: ContentBlock, adapted: AdaptedRequest) -> ContentBlock:
    result = block.get("toolResult")
    if result is None or "type" in result or (result["content"] and not any(map(_is_blank, result["content"]))):
        return block
    adapted.adjust("blank_text")
    kept = [part for part in result["content"] if not _is_blank(part)]
    return {"toolResult": {**result, "content": kept or [{"text": PLACEHOLDER}]}}


def _is_blank(block: Mapping[str, Any]) -> bool:
    return "text" in block and not block["text"].strip()
