"""A response, and the events of one, as a reply and the events of Converse.

Source: docs/reference/contracts/openai-responses.md#event-order
"""

from collections.abc import Iterator
from typing import Any, cast

from app.adaptation.answers import BlockWriter, reply_of
from app.converse.content import ContentBlock
from app.converse.encrypted_reasoning import EncryptedReasoning, block_of, mark_of, redacted
from app.converse.events import Event
from app.converse.openai_documents import unique_call_id, usage_of_response
from app.converse.reply import Reply
from app.converse.usage import Usage
from app.errors import UpstreamFailed
from app.wire import json
from app.wire.json import JsonObject

_CUT_OFF = {"max_output_tokens": "max_tokens", "content_filter": "content_filtered"}
_PARTS = {"output_text": "text", "refusal": "refusal"}
_ITEM_DONE = "response.output_item.done"


def from_response(document: JsonObject) -> Reply:
    """Return the reply for a response.

    Raises:
        UpstreamFailed: the document is not a response, or the response did not end.
    """
    if document.get("object") != "response":
        raise UpstreamFailed("Bedrock's reply made no sense", detail="no response")
    blocks = [block for item in document["output"] for block in _blocks(item)]
    usage = usage_of_response(document) or Usage()
    return reply_of(blocks, _stop_reason(document), usage, document.get("service_tier"))


def _stop_reason(response: JsonObject) -> str:
    """Return Converse's reason. A model that refuses says so in a part of its own."""
    match response:
        case {"status": "incomplete", "incomplete_details": {"reason": str(reason)}}:
            return _CUT_OFF.get(reason, "max_tokens")
        case {"status": "completed", "output": list(output)}:
            kinds = {item.get("type") for item in output}
            parts = {part.get("type") for item in output for part in item.get("content") or ()}
            if "function_call" in kinds:
                return "tool_use"
            return "content_filtered" if "refusal" in parts else "end_turn"
        case _:
            raise UpstreamFailed("Bedrock's reply made no sense", detail="the response did not end")


def _blocks(item: Any) -> Iterator[ContentBlock]:
    match item:
        case {"type": "message", "content": list(parts)}:
            for part in parts:
                if (member := _PARTS.get(part["type"])) and part[member]:
                    yield {"text": part[member]}
        case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
            try:
                given = json.loads(arguments or "{}")
            except json.JsonError:
                if item.get("status") != "incomplete":
                    raise
                return
            use_id = str(unique_call_id(call_id, item.get("id")))
            yield {"toolUse": {"toolUseId": use_id, "name": name, "input": given}}
        case {"type": "reasoning"}:
            yield from _reasoning(item)


def _reasoning(item: JsonObject) -> Iterator[ContentBlock]:
    text = "\n\n".join(part["text"] for part in [*(item.get("summary") or ()), *(item.get("content") or ())])
    if encrypted := item.get("encrypted_content"):
        yield {"reasoningContent": block_of(EncryptedReasoning(item["id"], encrypted, text))}
    elif text:
        yield {"reasoningContent": {"reasoningText": {"text": text}}}


class ResponseEvents:
    """Translates the events of one response.

    Nothing is returned before the first item begins, so that a model which fails at once may be replaced by another.
    Blocks of Converse never overlap, so events of an item wait until the item before it has ended.
    """

    def __init__(self) -> None:
        self._writer = BlockWriter()
        # the index of the item that has begun and not ended, and the events of others that wait for its end
        self._open: int | None = None
        self._waiting: dict[int, list[JsonObject]] = {}
        self._ended = 0
        # parts of an item that have had a delta, by the item's index and that of the part
        self._begun: set[tuple[int, str]] = set()
        self._has_shown: set[int] = set()

    def feed(self, document: JsonObject) -> list[Event]:
        """Return the events for one of the stream.

        Raises:
            JsonError: the arguments of a finished call are not JSON.
        """
        return [event for each in self._in_order(document) for event in self._events(each)]

    def _in_order(self, document: JsonObject) -> Iterator[JsonObject]:
        """Yield a document of the stream and those that waited for it, all of one item before those of the next."""
        match document:
            case {"output_index": int(index)} if self._open not in (None, index):
                self._waiting.setdefault(index, []).append(document)
            case {"output_index": int(index), "type": kind}:
                yield document
                self._open = None if kind == _ITEM_DONE else index
                while self._open is None and self._waiting:
                    index = next(iter(self._waiting))
                    held = self._waiting.pop(index)
                    yield from held
                    self._open = None if held[-1]["type"] == _ITEM_DONE else index
            case {"response": {"status": "completed" | "incomplete"}}:
                for held in self._waiting.values():
                    yield from held
                self._waiting.clear()
                yield document
            case _:
                yield document

    def _events(self, document: Any) -> Iterator[Event]:
        match document:
            case {"type": "response.output_item.added", "item": {"type": "function_call"} as item}:
                use_id = str(unique_call_id(item["call_id"], item.get("id")))
                self._begun.add((document["output_index"], "call"))
                yield from self._writer.start_tool(use_id, item["name"])
            case {"type": "response.output_item.added"}:
                # hidden reasoning may take minutes, and the caller's stream must have begun by then
                yield from self._writer.begin()
            case {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}:
                self._begun.add((index, "arguments"))
                yield from self._writer.tool_input(piece)
            case {"type": "response.output_text.delta" | "response.refusal.delta" as kind, "delta": piece}:
                part = f"{kind}{document.get('content_index')}"
                if (key := (document["output_index"], part)) not in self._begun:
                    self._begun.add(key)
                    yield from self._writer.end_block()
                yield from self._writer.text(piece)
            case {
                "type": "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" as kind,
                "delta": piece,
            }:
                yield from self._shown(document, kind, piece)
            case {"type": "response.output_item.done", "output_index": index, "item": item}:
                self._ended += 1
                yield from self._end_item(index, item)
            case {"type": "response.completed" | "response.incomplete", "response": response}:
                for index, item in [*enumerate(response.get("output") or ())][self._ended :]:
                    yield from self._end_item(index, item)
                usage = usage_of_response(response) or Usage()
                yield from self._writer.end(_stop_reason(response), usage, response.get("service_tier"))

    def _shown(self, document: JsonObject, kind: str, piece: str) -> Iterator[Event]:
        index: int = document["output_index"]
        part = f"{kind}{document.get('summary_index', document.get('content_index'))}"
        if (index, part) not in self._begun:
            self._begun.add((index, part))
            if index in self._has_shown:
                piece = "\n\n" + piece
        self._has_shown.add(index)
        yield from self._writer.reasoning({"text": piece})

    def _end_item(self, index: int, item: JsonObject) -> Iterator[Event]:
        """Complete an item with what had no delta."""
        has_begun = any(begun == index for begun, _ in self._begun)
        match item:
            case {"type": "function_call", "arguments": str(arguments)} if has_begun:
                if item.get("status") != "incomplete":
                    json.loads(arguments or "{}")
                if (index, "arguments") not in self._begun:
                    yield from self._writer.tool_input(arguments or "{}")
            case {"type": "reasoning", "id": item_id, "encrypted_content": str(encrypted)} if encrypted:
                mark = mark_of(item_id, encrypted)
                if index in self._has_shown:
                    yield from self._writer.reasoning({"signature": mark})
                else:
                    yield from self._writer.reasoning({"redactedContent": redacted(mark)})
            case _ if not has_begun:
                for block in _blocks(item):
                    yield from self._writer.whole(cast(JsonObject, block))
        yield from self._writer.end_block()
