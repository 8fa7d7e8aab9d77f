"""The content blocks of Converse as blocks of Anthropic's Messages."""

from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any, cast

from app.adaptation.carried_contents import text_of
from app.converse.content import DocumentBlock, SearchResultBlock, ToolResultBlock
from app.errors import InvalidRequest
from app.wire.json import JsonObject

_TEXTS = frozenset({"csv", "html", "md", "txt"})


def message_blocks(content: Iterable[object]) -> list[JsonObject]:
    """Return the blocks of a turn; a cache point marks the block before it.

    Raises:
        InvalidRequest: a document has a format that this API does not take.
    """
    blocks: list[JsonObject] = []
    for given in cast(Iterable[JsonObject], content):
        if "cachePoint" not in given:
            blocks += _blocks(given)
        elif blocks:
            ttl = given["cachePoint"].get("ttl")
            blocks[-1]["cache_control"] = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    return blocks


def _blocks(block: Any) -> Iterator[JsonObject]:
    match block:
        case {"image": {"format": kind, "source": {"bytes": data}}}:
            yield {"type": "image", "source": {"type": "base64", "media_type": f"image/{kind}", "data": data}}
        case {"image": _}:
            raise InvalidRequest("an image in S3 cannot be sent to this model", param="messages")
        case {"document": document}:
            yield _document(document)
        case {"searchResult": found}:
            yield _search_result(found)
        case {"toolUse": use}:
            yield {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": use["input"]}
        case {"toolResult": result}:
            yield _result(result)
        case {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}:
            yield {"type": "thinking", "thinking": text, "signature": signature}
        case {"reasoningContent": {"redactedContent": data}}:
            yield {"type": "redacted_thinking", "data": data}
        case _:
            if text := text_of(block):
                yield {"type": "text", "text": text}


def _result(result: ToolResultBlock) -> JsonObject:
    made: JsonObject = {
        "type": "tool_result",
        "tool_use_id": result["toolUseId"],
        "content": message_blocks(result["content"]),
    }
    return {**made, "is_error": True} if result.get("status") == "error" else made


def _document(document: DocumentBlock) -> JsonObject:
    source, kind = document["source"], document.get("format", "txt")
    made: JsonObject = {"type": "document", "title": document["name"]}
    if "text" in source:
        made["source"] = {"type": "text", "media_type": "text/plain", "data": source["text"]}
    elif "content" in source:
        parts = [{"type": "text", "text": part.get("text", "")} for part in source["content"]]
        made["source"] = {"type": "content", "content": parts}
    elif kind == "pdf":
        made["source"] = {"type": "base64", "media_type": "application/pdf", "data": source["bytes"]}
    elif kind in _TEXTS:
        try:
            text = b64decode(source["bytes"]).decode()
        except ValueError:
            raise InvalidRequest("a text document must be UTF-8 in base64", param="messages") from None
        made["source"] = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        raise InvalidRequest(f"a document of the format {kind} cannot be sent to this model", param="messages")
    return made | {name: document[name] for name in ("context", "citations") if name in document}


def _search_result(found: SearchResultBlock) -> JsonObject:
    texts = [{"type": "text", "text": piece["text"]} for piece in found["content"]]
    made: JsonObject = {"type": "search_result", "source": found["source"], "title": found["title"], "content": texts}
    return {**made, "citations": found["citations"]} if "citations" in found else made
