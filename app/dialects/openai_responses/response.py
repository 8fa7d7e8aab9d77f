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
    output: list[dict[str, Any]] = []
    for block in reply["output"]["message"]["content"]:
        _add(block, output, facts)
    if reply["stopReason"] in INCOMPLETE and output and output[-1].get("status") and output[-1]["type"] != IMAGE:
        output[-1]["status"] = "incomplete"
    usage: Any = reply["usage"]
    more = reply.get("additionalModelResponseFields")
    return facts.ended(reply["stopReason"], output, Usage.of(usage, more), reply.get("serviceTier"))


def _add(block: Any, output: list[dict[str, Any]], facts: ResponseFacts) -> None:
    """The item that a block is; what a tool of the provider's own did has no words here."""
    match block:
        case {"text": text}:
            _add_text(text, [], output)
        case {"citationsContent": cited}:
            text = "".join(piece.get("text", "") for piece in cited.get("content", []))
            _add_text(text, cited.get("citations", []), output)
        case {"reasoningContent": thought}:
            output.append(facts.reasoning_item(new_item_id("reasoning"), thought))
        case {"image": {"source": {"bytes": image}}}:
            output.append(image_item(new_item_id(IMAGE), image, "completed"))
        case {"toolUse": tool} if tool.get("type") != "server_tool_use":
            kind = "custom_tool_call" if tool["name"] in facts.custom_tools else "function_call"
            arguments = json.dumps_text(tool["input"])
            output.append(facts.call_item(new_item_id(kind), tool["toolUseId"], tool["name"], arguments, "completed"))


def _add_text(text: str, citations: list[Any], output: list[dict[str, Any]]) -> None:
    """Blocks of text that follow each other are one message: clients take the last one for the answer."""
    if not output or output[-1]["type"] != "message":
        output.append(message_item(new_item_id("message"), "", [], "completed"))
    part = output[-1]["content"][0]
    start = len(part["text"])
    part["text"] += text
    made = (annotation(citation, start, len(part["text"])) for citation in citations)
    part["annotations"] += [each for each in made if each]
