"""Turns: they alternate, begin with the user, and hold no blank text.

Evidence: "A conversation must alternate between user and assistant roles" (langchain-aws#130), "… must start with a
user message" (pydantic-ai#4495, dify#12340), "The text field in the ContentBlock object … is blank" (langchain-aws#403,
OpenHands#5339), "does not support assistant message prefill" (MiMo-Code#1702); contracts 3.5 for turns of the system.
A tool's result must not be empty if it failed, nor on Nova at all (stdapi.ai#226); a cache point before all content has
"nothing available to cache" (strands harness-sdk#3677). See mlflow#24296 and OpenHands#5339.
"""

from itertools import groupby
from typing import Any

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest, Role
from app.adaptation.tool_result_pairing import bring_together
from app.adaptation.turn_splitting import part
from app.converse.content import ContentBlock
from app.converse.request import Message
from app.errors import InvalidRequest

# "Cache point cannot be inserted after reasoning block" (opencode#36517)
_UNCACHEABLE = frozenset({"cachePoint", "reasoningContent"})


def adapt_turns(adapted: AdaptedRequest) -> None:
    """Drop blank text, merge turns of one role, put tool results first, let the user begin, and mind the end.

    Raises:
        InvalidRequest: the conversation ends with the assistant, and the model does not go on from there.
    """
    _drop_blank_system(adapted)
    turns = _with_known_places(_without_blanks(adapted), adapted)
    together = bring_together(turns, adapted)
    turns = turns if together is turns else _with_known_places(together, adapted)
    for turn in turns:
        if turn["role"] == "user":
            sorted_content = _results_first(turn["content"])
            if sorted_content != turn["content"]:
                adapted.adjust("tool_results")
            turn["content"] = sorted_content
        turn["content"] = _points_behind_content(turn["content"], adapted)
    turns = part(turns, adapted)
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER}]})
        adapted.adjust("first_turn")
    if turns[-1]["role"] == "assistant":
        _mind_prefill(turns[-1], adapted)
    adapted.body["messages"] = turns


def _drop_blank_system(adapted: AdaptedRequest) -> None:
    system = adapted.body.get("system")
    if system is None:
        return
    kept = [block for block in system if not _is_blank(block)]
    if len(kept) < len(system):
        adapted.adjust("blank_text")
    kept = _points_behind_content(kept, adapted)
    if kept:
        adapted.body["system"] = kept
    else:
        del adapted.body["system"]


def _without_blanks(adapted: AdaptedRequest) -> list[Message]:
    """The messages without blank text, and without those of which then nothing is left."""
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content = [_result_without_blanks(block, adapted) for block in message["content"] if not _is_blank(block)]
        if len(content) < len(message["content"]) or not content:
            adapted.adjust("blank_text")
        if any("cachePoint" not in block for block in content):
            messages.append({"role": message["role"], "content": content})
    return messages


def _points_behind_content(blocks: list[Any], adapted: AdaptedRequest) -> list[Any]:
    """The blocks without those cache points that have nothing right before them that can be cached."""
    kept: list[Any] = []
    for block in blocks:
        if "cachePoint" in block and (not kept or kept[-1].keys() & _UNCACHEABLE):
            adapted.adjust("cache_points")
        else:
            kept.append(block)
    return kept


def _result_without_blanks(block: ContentBlock, adapted: AdaptedRequest) -> ContentBlock:
    """The result of a tool without blank text; one that says nothing says so."""
    result = block.get("toolResult")
    if result is None or "type" in result or (result["content"] and not any(map(_is_blank, result["content"]))):
        return block
    adapted.adjust("blank_text")
    said = [part for part in result["content"] if not _is_blank(part)]
    return {"toolResult": {**result, "content": said or [{"text": PLACEHOLDER}]}}


def _merged(messages: list[Message]) -> list[Message]:
    """The messages with neighbours of one role as one turn."""
    return [
        {"role": role, "content": [block for message in group for block in message["content"]]}
        for role, group in groupby(messages, key=lambda message: message["role"])
    ]


def _with_known_places(messages: list[Message], adapted: AdaptedRequest) -> list[Message]:
    """The messages as turns, those of the system where the model takes them."""
    return _merged(_with_known_roles(_merged(messages), adapted))


def _with_known_roles(turns: list[Message], adapted: AdaptedRequest) -> list[Message]:
    """The turns with the system's as the user's, where the model does not take them or not in that place.

    A turn of the system stands behind the user's, and is the last or has the assistant's behind it.
    """
    known: list[Message] = []
    for index, turn in enumerate(turns):
        role: Role = turn["role"]
        if role == "system":
            before = turns[index - 1]["role"] if index else None
            after = turns[index + 1]["role"] if index + 1 < len(turns) else None
            if not (adapted.capabilities.system_turns and before == "user" and after in (None, "assistant")):
                role = "user"
                adapted.adjust("system_turn")
        known.append({"role": role, "content": turn["content"]})
    return known


def _mind_prefill(last: Message, adapted: AdaptedRequest) -> None:
    if adapted.capabilities.prefill == "refused":
        reason = "this model does not continue a message: end with the user's"
        raise InvalidRequest(reason, param=adapted.path("messages"))
    index = max(index for index, block in enumerate(last["content"]) if "cachePoint" not in block)
    block = last["content"][index]
    if adapted.capabilities.prefill == "trimmed" and "text" in block and block["text"] != block["text"].rstrip():
        last["content"][index] = {"text": block["text"].rstrip()}
        adapted.adjust("prefill")


def _is_blank(block: Any) -> bool:
    return "text" in block and not block["text"].strip()


def _results_first(content: list[ContentBlock]) -> list[ContentBlock]:
    """Tool results before all else, each with the cache points behind it."""
    results: list[ContentBlock] = []
    others: list[ContentBlock] = []
    last = others
    for block in content:
        if "cachePoint" not in block:
            last = results if "toolResult" in block else others
        last.append(block)
    return results + others
