"""Translates a reply of Converse to a chat completion.

Sources:
- docs/reference/contracts/openai-chat.md#reply
- docs/reference/contracts/mapping.md#stop-reasons
"""

from typing import Any

from msgspec import Struct

from app.converse.reply import MALFORMED_OUTPUT, Reply
from app.converse.usage import Usage
from app.dialects.openai.common.tools import custom_input
from app.errors import UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}


class ChatResponseContext(Struct, frozen=True):
    """What the translators of a response need of the request.

    created: seconds since the epoch. model: as the caller named it. custom_tools: names of tools whose input is free
    text. include_usage: a stream ends with its usage.
    """

    id: str
    created: int
    model: str
    custom_tools: frozenset[str] = frozenset()
    include_usage: bool = False


def finish_reason(stop_reason: str, *, has_calls: bool) -> str:
    """Return OpenAI's finish_reason.

    A stop for tools that only the provider ran is `stop`. Some models report the end of their turn though they called
    tools; agents would not run those calls (strands-agents/harness-sdk#644 for gpt-oss, #767 for Claude).

    Source: docs/reference/contracts/mapping.md#stop-reasons
    """
    if stop_reason in ("tool_use", "end_turn"):
        return "tool_calls" if has_calls else "stop"
    return FINISH_REASONS.get(stop_reason, "stop")


def usage_body(usage: Usage) -> JsonObject:
    """Return OpenAI's usage. Prompt tokens include cached ones.

    Source: docs/reference/contracts/mapping.md#usage
    """
    prompt = usage.prompt
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def annotation(citation: JsonObject, start: int, end: int) -> JsonObject | None:
    """Return OpenAI's annotation for a citation of the web, with the span of the cited text; None for others."""
    web = citation.get("location", {}).get("web")
    if web is None:
        return None
    cited = {"url": web.get("url", ""), "title": citation.get("title", ""), "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": cited}


def image_part(image_format: str, source: JsonObject) -> JsonObject:
    """Return an image of the model as OpenAI's part; one in S3 keeps its URI."""
    location = source.get("s3Location", {}).get("uri", "")
    url = f"data:image/{image_format};base64,{source['bytes']}" if "bytes" in source else location
    return {"type": "image_url", "image_url": {"url": url}}


def from_reply(reply: Reply, response_context: ChatResponseContext) -> JsonObject:
    """Return the `chat.completion` object.

    Content without a member in OpenAI's format is added in members that its clients accept: `reasoning_content`,
    `reasoning`, `thinking_blocks` (with signatures, to be sent back), `citations` (Converse's own) and `images`.

    Raises:
        UpstreamFailed: the stop reason reports malformed output.
    """
    if reply["stopReason"] in MALFORMED_OUTPUT:
        raise UpstreamFailed("the model's output was malformed", detail=reply["stopReason"])
    message = _message_of(reply["output"]["message"]["content"], response_context.custom_tools)
    reason = finish_reason(reply["stopReason"], has_calls="tool_calls" in message)
    usage: Any = reply["usage"]
    completion = {
        "id": response_context.id,
        "object": "chat.completion",
        "created": response_context.created,
        "model": response_context.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": usage_body(Usage.of(usage, reply.get("additionalModelResponseFields"))),
    }
    if "serviceTier" in reply:
        completion["service_tier"] = reply["serviceTier"]["type"]
    return completion


def _message_of(blocks: Any, custom_tools: frozenset[str]) -> JsonObject:
    """Return the message as OpenAI's clients read it."""
    if len(blocks) == 1 and "text" in blocks[0]:
        return _text_message("".join((blocks[0]["text"],)), [])
    message = _Message()
    for block in blocks:
        message.add(block, custom_tools)
    return message.document()


def _text_message(text: str | None, annotations: list[JsonObject]) -> JsonObject:
    return {"role": "assistant", "content": text, "refusal": None, "annotations": annotations}


class _Message(Struct):
    """The members of the message, gathered block by block."""

    texts: list[str] = []
    length: int = 0
    calls: list[JsonObject] = []
    reasoning: list[str] = []
    thinking_blocks: list[JsonObject] = []
    citations: list[JsonObject] = []
    annotations: list[JsonObject] = []
    images: list[JsonObject] = []

    def add(self, block: Any, custom_tools: frozenset[str]) -> None:
        """Add a content block. custom_tools: names of tools whose input is free text."""
        match block:
            case {"text": text}:
                self.texts.append(text)
                self.length += len(text)
            case {"toolUse": tool} if tool.get("type") != "server_tool_use":
                self.calls.append(_call(tool, is_custom=tool["name"] in custom_tools))
            case {"reasoningContent": {"reasoningText": reasoning}}:
                text, signature = reasoning.get("text", ""), reasoning.get("signature")
                self.reasoning.append(text)
                self.thinking_blocks.append({"type": "thinking", "thinking": text, "signature": signature})
            case {"reasoningContent": {"redactedContent": data}}:
                self.thinking_blocks.append({"type": "redacted_thinking", "data": data})
            case {"image": image}:
                self.images.append(image_part(image["format"], image["source"]))
            case {"citationsContent": cited}:
                self._add_cited(cited)

    def _add_cited(self, cited: JsonObject) -> None:
        start, texts = self.length, [piece.get("text", "") for piece in cited.get("content", [])]
        self.texts += texts
        self.length += sum(map(len, texts))
        self.citations += cited.get("citations", [])
        made = (annotation(citation, start, self.length) for citation in cited.get("citations", []))
        self.annotations += [each for each in made if each is not None]

    def document(self) -> JsonObject:
        """Return the message as OpenAI's clients read it."""
        text = "".join(self.texts)
        message = _text_message(text if text or not self.calls else None, self.annotations)
        if self.calls:
            message["tool_calls"] = self.calls
        if any(self.reasoning):
            # two names of one text: DeepSeek's, and that of OpenAI's gpt-oss and of vLLM
            message["reasoning_content"] = message["reasoning"] = "".join(self.reasoning)
        if self.thinking_blocks:
            message["thinking_blocks"] = self.thinking_blocks
        if self.citations:
            message["citations"] = self.citations
        if self.images:
            message["images"] = self.images
        return message


def _call(tool: JsonObject, *, is_custom: bool) -> JsonObject:
    arguments = json.dumps_text(tool["input"])
    if is_custom:
        custom = {"name": tool["name"], "input": custom_input(arguments)}
        return {"id": tool["toolUseId"], "type": "custom", "custom": custom}
    return {"id": tool["toolUseId"], "type": "function", "function": {"name": tool["name"], "arguments": arguments}}
