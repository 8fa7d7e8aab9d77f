"""Translates citations in both directions.

Anthropic has a type for each kind of location: characters, pages or pieces of a document, blocks of a search result.
Converse has a union with the same members. Pages count from 1 on both sides; ends are exclusive.

Source: docs/reference/contracts/mapping.md#messages-and-content
"""

from typing import Any

from app.wire.json import JsonObject

# Anthropic's type, Converse's member, and the names of the location's members on both sides
_DOCUMENT = (("document_index", "documentIndex"),)
_SEARCH = (("search_result_index", "searchResultIndex"),)
_KINDS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("char_location", "documentChar", (*_DOCUMENT, ("start_char_index", "start"), ("end_char_index", "end"))),
    ("page_location", "documentPage", (*_DOCUMENT, ("start_page_number", "start"), ("end_page_number", "end"))),
    (
        "content_block_location",
        "documentChunk",
        (*_DOCUMENT, ("start_block_index", "start"), ("end_block_index", "end")),
    ),
    (
        "search_result_location",
        "searchResultLocation",
        (*_SEARCH, ("start_block_index", "start"), ("end_block_index", "end")),
    ),
    ("web_search_result_location", "web", (("url", "url"),)),
)


def from_converse(citation: JsonObject) -> JsonObject:
    """Translate Converse's citation to Anthropic's."""
    cited = "".join(piece.get("text", "") for piece in citation.get("sourceContent", []))
    location = citation.get("location", {})
    for kind, member, names in _KINDS:
        if member in location:
            index = {theirs: location[member].get(ours) for theirs, ours in names}
            title = "document_title" if _is_document(kind) else "title"
            made = {"type": kind, "cited_text": cited, title: citation.get("title"), **index}
            if kind == "search_result_location":
                made["source"] = citation.get("source", "")
            if kind == "web_search_result_location":
                made["encrypted_index"] = ""  # only Anthropic's own search reads it
            return made
    return {"type": "char_location", "cited_text": cited, "document_title": citation.get("title"), "document_index": 0,
            "start_char_index": 0, "end_char_index": 0}  # fmt: skip


def to_converse(citation: JsonObject) -> Any:
    """Translate Anthropic's citation to Converse's."""
    made: JsonObject = {}
    title = citation.get("document_title") or citation.get("title")
    if title:
        made["title"] = title
    if citation.get("source"):
        made["source"] = citation["source"]
    if citation.get("cited_text"):
        made["sourceContent"] = [{"text": citation["cited_text"]}]
    for kind, member, names in _KINDS:
        if citation.get("type") == kind:
            made["location"] = {
                member: {ours: citation[theirs] for theirs, ours in names if citation.get(theirs) is not None}
            }
    return made


def _is_document(kind: str) -> bool:
    """Tell whether Anthropic names the title `document_title`."""
    return kind in ("char_location", "page_location", "content_block_location")
