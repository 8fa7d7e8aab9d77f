"""A chat completion, and the chunks of one, as a reply and the events of Converse.

Source: docs/reference/contracts/openai-chat.md#stream
"""

from collections.abc import Iterator
from typing import Any

from app.adaptation.answers import BlockWriter, metadata_event, reply_of
from app.converse.content import ContentBlock
from app.converse.events import Event
from app.converse.openai_documents import unique_call_id, usage_of_completion
from app.converse.reply import Reply
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered"}
# DeepSeek's name of the member, and vLLM's
_REASONING = ("reasoning_content", "reasoning")


def from_completion(document: JsonObject) -> Reply:
    """Return the reply for a completion.

    Raises:
        UpstreamFailed: the document is not a completion.
    """
    if document.get("object") != "chat.completion":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no completion")
    choice = document["choices"][0]
    message = choice["message"]
    blocks: list[ContentBlock] = []
    if reasoning := _reasoning_in(message):
        blocks.append({"reasoningContent": {"reasoningText": {"text": reasoning}}})
    if text := message.get("content"):
        blocks.append({"text": text})
    if refusal := message.get("refusal"):
        blocks.append({"text": refusal})
    is_cut_off = choice["finish_reason"] == "length"
    blocks += [
        made for call in message.get("tool_calls") or () for made in _call(call, document, is_cut_off=is_cut_off)
    ]
    reason = _stop_reason(choice["finish_reason"], has_calls=any("toolUse" in block for block in blocks))
    return reply_of(
        blocks,
        "content_filtered" if refusal else reason,
        usage_of_completion(document) or Usage(),
        document.get("service_tier"),
    )


def _reasoning_in(message: JsonObject) -> str:
    return next((text for name in _REASONING if isinstance(text := message.get(name), str) and text), "")


def _call(call: JsonObject, document: JsonObject, *, is_cut_off: bool) -> Iterator[ContentBlock]:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except json.JsonError:
        if not is_cut_off:
            raise
        return
    use_id = str(unique_call_id(call["id"], document.get("id")))
    yield {"toolUse": {"toolUseId": use_id, "name": function["name"], "input": arguments}}


def _stop_reason(finish_reason: object, *, has_calls: bool) -> str:
    if has_calls and finish_reason in ("stop", "tool_calls"):
        return "tool_use"
    return _STOP_REASONS.get(str(finish_reason), "end_turn")


class ChunkEvents:
    """Translates the chunks of one completion."""

    def __init__(self) -> None:
        self._writer = BlockWriter()
        self._calls: set[int] = set()
        self._has_refused = False
        self._has_ended = False

    def feed(self, document: JsonObject) -> list[Event]:
        """Return the events for a chunk."""
        return list(self._events(document))

    def _events(self, document: JsonObject) -> Iterator[Event]:
        for choice in document.get("choices") or ():
            yield from self._delta(choice.get("delta") or {}, document)
            if (reason := choice.get("finish_reason")) and not self._has_ended:
                self._has_ended = True
                stop_reason = _stop_reason(reason, has_calls=bool(self._calls))
                yield from self._writer.end("content_filtered" if self._has_refused else stop_reason, None, None)
        if (usage := usage_of_completion(document)) is not None:
            yield metadata_event(usage, document.get("service_tier"))

    def _delta(self, delta: JsonObject, document: JsonObject) -> Iterator[Event]:
        yield from self._writer.begin()
        yield from self._writer.reasoning({"text": _reasoning_in(delta)})
        yield from self._writer.text(delta.get("content") or "")
        if refusal := delta.get("refusal"):
            self._has_refused = True
            yield from self._writer.text(refusal)
        for call in delta.get("tool_calls") or ():
            yield from self._call(call, document)

    def _call(self, call: Any, document: JsonObject) -> Iterator[Event]:
        function = call.get("function") or {}
        if call["index"] not in self._calls:
            self._calls.add(call["index"])
            yield from self._writer.start_tool(str(unique_call_id(call["id"], document.get("id"))), function["name"])
        yield from self._writer.tool_input(function.get("arguments") or "")
