"""Documents: legal and unique names, and a text in the same turn.

Evidence: "The document file name can only contain alphanumeric characters, whitespace characters, hyphens,
parentheses, and square brackets …" (llm-bedrock#8, vercel/ai#20365), "Messages can't contain duplicate document names"
(bifrost#7003), "A text block must be included when using documents" (archestra#4220). See vercel/ai#20365.
"""

import re
from typing import Any, cast

from app.adaptation.adapted_request import PLACEHOLDER, AdaptedRequest
from app.adaptation.unique_names import Unused
from app.converse.content import ContentBlock, DocumentBlock, ToolResultContentBlock
from app.converse.request import Message

_ILLEGAL = re.compile(r"[^A-Za-z0-9 _()\[\]-]+")
_MAX_NAME = 200
_SUFFIX_ROOM = 8


def adapt_documents(adapted: AdaptedRequest) -> None:
    """Give documents legal and unique names, and a turn with documents a text."""
    names = Unused("{} ({})")
    messages: list[Message] = []
    for message in adapted.body["messages"]:
        content = [_named(block, names, adapted) for block in message["content"]]
        if not adapted.capabilities.turns.citations:
            content = [_without_citations(block, adapted) for block in content]
        documents = [index for index, block in enumerate(content) if "document" in block]
        if documents and not any("text" in block for block in content):
            # a cache point directly after a document that is not PDF is refused (harness-sdk#1966)
            content.insert(documents[-1] + 1, {"text": PLACEHOLDER})
            adapted.adjust("document_text")
        if not adapted.capabilities.caching.after_text_documents:
            content = _with_text_before_points(content, adapted)
        messages.append({**message, "content": content})
    adapted.body["messages"] = messages


def _with_text_before_points(content: list[ContentBlock], adapted: AdaptedRequest) -> list[ContentBlock]:
    """Put a text between a document that is rendered as text and a cache point, so that the document is cached.

    Recording bedrock_cache_messages_with_document_as_last_content: a point after document and text is accepted.
    """
    made: list[ContentBlock] = []
    for block in content:
        if "cachePoint" in block and made and _is_rendered_as_text(made[-1]):
            made.append({"text": PLACEHOLDER})
            adapted.adjust("document_text")
        made.append(block)
    return made


def _is_rendered_as_text(block: ContentBlock) -> bool:
    document = block.get("document")
    if document is None or document.get("format") == "pdf":
        return False
    return not document.get("citations", {}).get("enabled")


def _without_citations(block: ContentBlock, adapted: AdaptedRequest) -> ContentBlock:
    """Return a document or search result without its request for citations, which is named as ignored."""
    changed: Any = block
    for kind in ("document", "searchResult"):
        inside = changed.get(kind)
        if inside is not None and "citations" in inside:
            if inside["citations"].get("enabled") and "citations" not in adapted.ignored:
                adapted.ignore("citations")
            changed = {kind: {name: value for name, value in inside.items() if name != "citations"}}
    return cast(ContentBlock, changed)


def _named(block: ContentBlock, names: Unused, adapted: AdaptedRequest) -> ContentBlock:
    if "document" in block:
        return {"document": _with_legal_name(block["document"], names, adapted)}
    if "toolResult" not in block or not any("document" in piece for piece in block["toolResult"]["content"]):
        return block
    pieces: list[ToolResultContentBlock] = [
        {"document": _with_legal_name(piece["document"], names, adapted)} if "document" in piece else piece
        for piece in block["toolResult"]["content"]
    ]
    return {"toolResult": {**block["toolResult"], "content": pieces}}


def _with_legal_name(document: DocumentBlock, names: Unused, adapted: AdaptedRequest) -> DocumentBlock:
    given = document["name"]
    name = " ".join(_ILLEGAL.sub("-", given).split())[: _MAX_NAME - _SUFFIX_ROOM].rstrip() or "document"
    unique = names.take(name, name)
    if unique == given:
        return document
    adapted.adjust("document_name")
    adapted.mapping.document_names[unique] = given
    return {**document, "name": unique}
