"""Translates a reply of Converse to a response.

Sources:
- docs/reference/contracts/openai-responses.md#objects
- docs/reference/contracts/mapping.md
"""

from typing import Any

from app.converse.reply import MALFORMED_OUTPUT, Reply
from app.converse.usage import Usage
from app.dialects.openai.responses.response_context import (
    IMAGE,
    INCOMPLETE,
    ResponseContext,
    annotation,
    image_item,
    message_item,
    new_item_id,
)
from app.errors import UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject


def from_reply(reply: Reply, response_context: ResponseContext) -> JsonObject:
    """Return the response object.

    Raises:
        UpstreamFailed: the stop reason reports malformed output.
    """
    if reply["stopReason"] in MALFORMED_OUTPUT:
        raise UpstreamFailed("the model's output was malformed", detail=reply["stopReason"])
    gathered = _Gathered(response_context)
    for block in reply["output"]["message"]["content"]:
        gathered.add(block)
    output = gathered.items()
    if reply["stopReason"] in INCOMPLETE and output and output[-1].get("status") and output[-1]["type"] != IMAGE:
        output[-1]["status"] = "incomplete"
    usage: Any = reply["usage"]
    more = reply.get("additionalModelResponseFields")
    return response_context.ended(reply["stopReason"], output, Usage.of(usage, more), reply.get("serviceTier"))


class _Gathered:
    """The items, gathered block by block."""

    def __init__(self, response_context: ResponseContext) -> None:
        self._response_context = response_context
        self._items: list[JsonObject] = []
        self._messages: list[_Message] = []

    def add(self, block: Any) -> None:
        """Add the item for a block; none for calls of the provider's own tools."""
        match block:
            case {"text": text}:
                self._message().say(text, [])
            case {"citationsContent": cited}:
                text = "".join(piece.get("text", "") for piece in cited.get("content", []))
                self._message().say(text, cited.get("citations", []))
            case {"reasoningContent": reasoning}:
                self._items.append(self._response_context.reasoning_item(new_item_id("reasoning"), reasoning))
            case {"image": {"source": {"bytes": image}}}:
                self._items.append(image_item(new_item_id(IMAGE), image, "completed"))
            case {"toolUse": tool} if tool.get("type") != "server_tool_use":
                kind = "custom_tool_call" if tool["name"] in self._response_context.custom_tools else "function_call"
                arguments = json.dumps_text(tool["input"])
                call = self._response_context.call_item(
                    new_item_id(kind), tool["toolUseId"], tool["name"], arguments, "completed"
                )
                self._items.append(call)

    def _message(self) -> "_Message":
        """Return the message for a block of text. Consecutive blocks share one: clients read only the last message."""
        if not self._items or self._items[-1]["type"] != "message":
            self._messages.append(_Message())
            self._items.append(self._messages[-1].item)
        return self._messages[-1]

    def items(self) -> list[JsonObject]:
        """Return all items."""
        for message in self._messages:
            message.end()
        return self._items


class _Message:
    """An unfinished message."""

    def __init__(self) -> None:
        self.item = message_item(new_item_id("message"), "", [], "completed")
        self._part = self.item["content"][0]
        self._pieces: list[str] = []
        self._length = 0

    def say(self, text: str, citations: list[JsonObject]) -> None:
        """Add a text and its citations."""
        start = self._length
        self._pieces.append(text)
        self._length += len(text)
        made = (annotation(citation, start, self._length) for citation in citations)
        self._part["annotations"] += [each for each in made if each]

    def end(self) -> None:
        """Join the texts."""
        self._part["text"] = "".join(self._pieces)
