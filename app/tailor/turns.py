"""Turns: they alternate, begin with the user, and hold no blank text.

Evidence: "A conversation must alternate between user and assistant roles" (langchain-aws#130), "… must start with a
user message" (pydantic-ai#4495, dify#12340), "The text field in the ContentBlock object … is blank" (langchain-aws#403,
OpenHands#5339). Pains 13 and 14.
"""

from typing import Any, Literal

from app.converse.content import ContentBlock
from app.converse.request import Message
from app.tailor.draft import Draft

PLACEHOLDER = "."


def tailor_turns(draft: Draft) -> None:
    """Drop blank text, merge turns of one role, put tool results first, and let the user begin."""
    _drop_blank_system(draft)
    turns: list[Message] = []
    for message in draft.body["messages"]:
        role = _role_for(message, draft)
        content = [block for block in message["content"] if not _is_blank(block)]
        if len(content) < len(message["content"]):
            draft.repair("blank_text")
        if not content:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        else:
            turns.append({"role": role, "content": content})
    for turn in turns:
        if turn["role"] == "user":
            turn["content"] = _results_first(turn["content"])
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER}]})
        draft.repair("first_turn")
    draft.body["messages"] = turns


def _drop_blank_system(draft: Draft) -> None:
    system = draft.body.get("system")
    if system is None:
        return
    kept = [block for block in system if not _is_blank(block)]
    if len(kept) < len(system):
        draft.repair("blank_text")
    if any("cachePoint" not in block for block in kept):
        draft.body["system"] = kept
    else:
        del draft.body["system"]


def _role_for(message: Message, draft: Draft) -> Literal["user", "assistant", "system"]:
    if message["role"] == "system" and not draft.traits.system_turns:
        draft.repair("system_turn")
        return "user"
    return message["role"]


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
