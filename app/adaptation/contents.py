"""What a call contains, as a set of flags: a pass of adaptation runs only if a call contains what it works on.

The most tokens that a call can have depend on them too.
"""

from collections.abc import Mapping, Sequence
from enum import IntFlag, auto
from operator import eq
from typing import Any

from app.converse.call import Intent
from app.converse.request import ConverseRequest


class Contents(IntFlag):
    """Parts of a call that some model refuses."""

    ADJACENT_TURNS = auto()  # two turns of one role in a row
    SYSTEM_TURNS = auto()
    OTHER_START = auto()  # no turn, or the first is not the user's
    PREFILL = auto()  # the last turn is the assistant's
    BLANK_TEXT = auto()  # white space as a text, or an empty turn, system prompt or tool result
    CACHE_POINTS = auto()
    DOCUMENTS = auto()  # and search results
    VIDEOS = auto()
    REASONING = auto()  # of earlier turns
    TOOLS = auto()
    TOOL_CALLS = auto()
    TOOL_RESULTS = auto()
    OUTPUT_FORMAT = auto()
    EFFORT = auto()
    MODEL_FIELDS = auto()
    MAX_TOKENS = auto()
    SAMPLING = auto()  # parameters of inference other than the length
    TOP_K = auto()
    WEB_SEARCH = auto()
    OTHER_BLOCKS = auto()  # such as images and audio: no pass works on them


# plain integers: one operation of an IntFlag costs as much as all of this module's for a short call
_ADJACENT_TURNS, _SYSTEM_TURNS = Contents.ADJACENT_TURNS.value, Contents.SYSTEM_TURNS.value
_OTHER_START, _PREFILL = Contents.OTHER_START.value, Contents.PREFILL.value
_BLANK_TEXT, _CACHE_POINTS = Contents.BLANK_TEXT.value, Contents.CACHE_POINTS.value
_BLOCKS = {
    "cachePoint": _CACHE_POINTS,
    "document": Contents.DOCUMENTS.value,
    "searchResult": Contents.DOCUMENTS.value,
    "video": Contents.VIDEOS.value,
    "reasoningContent": Contents.REASONING.value,
    "toolUse": Contents.TOOL_CALLS.value,
    "toolResult": Contents.TOOL_RESULTS.value,
    "json": 0,
}
_OTHER_BLOCKS = Contents.OTHER_BLOCKS.value
_MEMBERS = {
    "toolConfig": Contents.TOOLS.value,
    "outputConfig": Contents.OUTPUT_FORMAT.value,
    "additionalModelRequestFields": Contents.MODEL_FIELDS.value,
}
_MAX_TOKENS, _SAMPLING = Contents.MAX_TOKENS.value, Contents.SAMPLING.value


def contents_of(body: ConverseRequest, intent: Intent) -> int:
    """Return the `Contents` of a call."""
    messages = body.get("messages", ())
    roles = [message["role"] for message in messages]
    contents = _of_settings(body, intent) | _of_turns([message["content"] for message in messages])
    if True in map(eq, roles, roles[1:]):
        contents |= _ADJACENT_TURNS
    if "system" in roles:
        contents |= _SYSTEM_TURNS
    if roles[:1] != ["user"]:
        contents |= _OTHER_START
    return contents | _PREFILL if roles[-1:] == ["assistant"] else contents


def _of_turns(turns: Sequence[Sequence[Mapping[str, Any]]]) -> int:
    """Return the contents of turns, system prompts or tool results."""
    contents = 0 if all(turns) else _BLANK_TEXT
    for blocks in turns:
        for block in blocks:
            text = block.get("text")
            if text is None:
                for kind in block:
                    contents |= _BLOCKS.get(kind, _OTHER_BLOCKS)
                if (result := block.get("toolResult")) is not None:
                    contents |= _of_turns([result["content"]])
            elif not text or text.isspace():
                contents |= _BLANK_TEXT
    return contents


def _of_settings(body: ConverseRequest, intent: Intent) -> int:
    contents = 0
    for member in body:
        contents |= _MEMBERS.get(member, 0)
    if (config := body.get("inferenceConfig")) is not None:
        contents |= _MAX_TOKENS if "maxTokens" in config else 0
        contents |= _SAMPLING if config.keys() != {"maxTokens"} else 0
    if (system := body.get("system")) is not None:
        contents |= _of_turns([system])
    if (tools := body.get("toolConfig")) is not None and any("cachePoint" in tool for tool in tools["tools"]):
        contents |= _CACHE_POINTS
    if intent.json_object:
        contents |= Contents.OUTPUT_FORMAT.value
    if intent.effort is not None:
        contents |= Contents.EFFORT.value
    if intent.top_k is not None:
        contents |= Contents.TOP_K.value
    if intent.web_search:
        contents |= Contents.WEB_SEARCH.value
    return contents
