"""A reply becomes a response. Contracts 2.2 and 5."""

from typing import Any

from app.converse.reply import Reply
from app.converse.usage import Usage
from app.dialects.openai_responses.facts import (
    IMAGE,
    INCOMPLETE,
    MALFORMED,
    ResponseFacts,
    annotation,
    image_item,
    message_item,
    new_item_id,
)
from app.errors import UpstreamFailed
from app.kit import json


def from_reply(reply: Reply, facts: ResponseFacts) -> dict[str, Any]:
    """The response object.

    Raises:
        UpstreamFailed: the model broke its own format, as the stop reason tells.
    """
    if reply["stopReason"] in MALFORMED:
        raise UpstreamFailed("the model's output was malformed", detail=reply["stopReason"])
    output = [item for block in reply["output"]["message"]["content"] for item in _items(block, facts)]
    if reply["stopReason"] in INCOMPLETE and output and output[-1].get("status") and output[-1]["type"] != IMAGE:
        output[-1]["status"] = "incomplete"
    usage: Any = reply["usage"]
    more = reply.get("additionalModelResponseFields")
    return facts.ended(reply["stopReason"], output, Usage.of(usage, more), reply.get("serviceTier"))


def _items(block: Any, facts: ResponseFacts) -> list[dict[str, Any]]:
    """The item that a block is; what a tool of the provider's own did has no words here."""
    match block:
        case {"text": text}:
            return [message_item(new_item_id("message"), text, [], "completed")]
        case {"citationsContent": cited}:
            text = "".join(piece.get("text", "") for piece in cited.get("content", []))
            made = (annotation(citation, 0, len(text)) for citation in cited.get("citations", []))
            return [message_item(new_item_id("message"), text, [each for each in made if each], "completed")]
        case {"reasoningContent": thought}:
            return [facts.reasoning_item(new_item_id("reasoning"), thought)]
        case {"image": {"source": {"bytes": image}}}:
            return [image_item(new_item_id(IMAGE), image, "completed")]
        case {"toolUse": tool} if tool.get("type") != "server_tool_use":
            kind = "custom_tool_call" if tool["name"] in facts.custom_tools else "function_call"
            arguments = json.dumps_text(tool["input"])
            return [facts.call_item(new_item_id(kind), tool["toolUseId"], tool["name"], arguments, "completed")]
        case _:
            return []
