"""A reply becomes a chat completion.

Sources:
- docs/reference/contracts/openai-chat.md#reply
- docs/reference/contracts/mapping.md#stop-reasons
"""

from typing import Any

from app.converse.reply import Reply
from app.converse.usage import Usage
from app.dialects.openai.chat.response_context import (
    MALFORMED,
    ChatFacts,
    annotation,
    finish_reason,
    image_part,
    usage_body,
)
from app.dialects.openai.common.tools import custom_input
from app.errors import UpstreamFailed
from app.wire import json


def from_reply(reply: Reply, facts: ChatFacts) -> dict[str, Any]:
    """The `chat.completion` object.

    What OpenAI's own format cannot say travels beside it, where its clients let it pass: `reasoning_content`,
    `thinking_blocks` (with signatures, to be sent back), `citations` (Converse's own) and `images`.

    Raises:
        UpstreamFailed: the model broke its own format, as the stop reason tells.
    """
    if reply["stopReason"] in MALFORMED:
        raise UpstreamFailed("the model's output was malformed", detail=reply["stopReason"])
    gathered = _Gathered(facts)
    for block in reply["output"]["message"]["content"]:
        gathered.add(block)
    reason = finish_reason(reply["stopReason"], has_calls=bool(gathered.calls))
    usage: Any = reply["usage"]
    completion = {
        "id": facts.id,
        "object": "chat.completion",
        "created": facts.created,
        "model": facts.model,
        "choices": [{"index": 0, "message": gathered.message(), "logprobs": None, "finish_reason": reason}],
        "usage": usage_body(Usage.of(usage, reply.get("additionalModelResponseFields"))),
    }
    if "serviceTier" in reply:
        completion["service_tier"] = reply["serviceTier"]["type"]
    return completion


class _Gathered:
    """The members of the message, gathered block by block."""

    def __init__(self, facts: ChatFacts) -> None:
        self._facts = facts
        self.texts: list[str] = []
        self.length = 0
        self.calls: list[dict[str, Any]] = []
        self.reasoning: list[str] = []
        self.thinking_blocks: list[dict[str, Any]] = []
        self.citations: list[Any] = []
        self.annotations: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []

    def add(self, block: Any) -> None:
        match block:
            case {"text": text}:
                self._say(text)
            case {"toolUse": tool} if tool.get("type") != "server_tool_use":
                self.calls.append(self._call(tool))
            case {"reasoningContent": {"reasoningText": reasoning}}:
                said = reasoning.get("text", "")
                self.reasoning.append(said)
                self.thinking_blocks.append(
                    {"type": "thinking", "thinking": said, "signature": reasoning.get("signature")}
                )
            case {"reasoningContent": {"redactedContent": data}}:
                self.thinking_blocks.append({"type": "redacted_thinking", "data": data})
            case {"image": image}:
                self.images.append(image_part(image["format"], image["source"]))
            case {"citationsContent": cited}:
                start = self.length
                for piece in cited.get("content", []):
                    self._say(piece.get("text", ""))
                self.citations += cited.get("citations", [])
                made = (annotation(citation, start, self.length) for citation in cited.get("citations", []))
                self.annotations += [each for each in made if each is not None]

    def _say(self, text: str) -> None:
        self.texts.append(text)
        self.length += len(text)

    def _call(self, tool: Any) -> dict[str, Any]:
        if tool["name"] in self._facts.custom_tools:
            custom = {"name": tool["name"], "input": custom_input(json.dumps_text(tool["input"]))}
            return {"id": tool["toolUseId"], "type": "custom", "custom": custom}
        function = {"name": tool["name"], "arguments": json.dumps_text(tool["input"])}
        return {"id": tool["toolUseId"], "type": "function", "function": function}

    def message(self) -> dict[str, Any]:
        text = "".join(self.texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not self.calls else None,
            "refusal": None,
            "annotations": self.annotations,
        }
        if self.calls:
            message["tool_calls"] = self.calls
        if any(self.reasoning):
            message["reasoning_content"] = "".join(self.reasoning)
        if self.thinking_blocks:
            message["thinking_blocks"] = self.thinking_blocks
        if self.citations:
            message["citations"] = self.citations
        if self.images:
            message["images"] = self.images
        return message
