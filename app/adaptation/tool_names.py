"""The names of tools and the ids of calls, as Converse accepts them.

Evidence: names and ids must match patterns of the service model (kibana#206487, openclaw#12892); duplicate ids are
refused (litellm#20047).
"""

import hashlib
import re
from collections.abc import Callable
from typing import cast

from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.call_ids import CLAUDES, CONVERSES, CallIds
from app.converse.content import ContentBlock
from app.converse.request import Message, Tool
from app.wire.json import JsonObject

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


def called_names(adapted: AdaptedRequest) -> list[str]:
    """Return the names of the tools that the history calls, without those of servers."""
    calls = [block["toolUse"] for block in adapted.blocks() if "toolUse" in block]
    return list(dict.fromkeys(call["name"] for call in calls if call.get("type") != "server_tool_use"))


def adapt_tool_names(adapted: AdaptedRequest) -> None:
    """Replace illegal names of tools everywhere, and map them back in the reply."""
    config = adapted.body["toolConfig"]
    declared = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
    illegal = {name for name in (*declared, *called_names(adapted)) if not _NAME.match(name)}
    if not illegal:
        return
    legal = {name: _legal_name(name) for name in illegal}
    adapted.mapping.tool_names = {sent: name for name, sent in legal.items()}
    adapted.adjust("tool_names")
    tools: list[Tool] = [
        {**tool, "toolSpec": {**tool["toolSpec"], "name": _renamed(tool["toolSpec"]["name"], legal)}}
        if "toolSpec" in tool
        else tool
        for tool in config["tools"]
    ]
    choice = config.get("toolChoice")
    if choice and "tool" in choice:
        choice = {"tool": {**choice["tool"], "name": _renamed(choice["tool"]["name"], legal)}}
    adapted.body["toolConfig"] = {"tools": tools, "toolChoice": choice} if choice else {"tools": tools}

    def renamed(kind: str, block: JsonObject) -> JsonObject:
        return {**block, "name": _renamed(block["name"], legal)} if kind == "toolUse" else block

    _map_blocks(adapted, renamed)


def _renamed(name: str, legal: dict[str, str]) -> str:
    return legal.get(name, name)


def _legal_name(name: str) -> str:
    """Return a legal and unique name: the legal characters of a name, and eight digits of its hash."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:55] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]


def adapt_call_ids(adapted: AdaptedRequest) -> None:
    """Make the ids of calls legal and unique, and give results the ids of their calls."""
    ids = CallIds(CLAUDES if adapted.capabilities.tools.plain_ids else CONVERSES)

    def adjusted(kind: str, block: JsonObject) -> JsonObject:
        given = block["toolUseId"]
        sent = ids.of_call(given) if kind == "toolUse" else ids.of_result(given)
        return block if sent == given else {**block, "toolUseId": sent}

    if _map_blocks(adapted, adjusted):
        adapted.adjust("tool_ids")


def _map_blocks(adapted: AdaptedRequest, change: Callable[[str, JsonObject], JsonObject]) -> bool:
    """Replace each tool block by the result of `change(kind, block)`; returns whether anything changed."""
    has_changed = False
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content: list[ContentBlock] = []
        for block in message["content"]:
            kind = next(iter(block))
            if kind in ("toolUse", "toolResult"):
                before = cast(JsonObject, block)[kind]
                after = change(kind, before)
                has_changed = has_changed or after is not before
                content.append(cast(ContentBlock, {kind: after}))
            else:
                content.append(block)
        messages.append({**message, "content": content})
    adapted.body["messages"] = messages
    return has_changed
