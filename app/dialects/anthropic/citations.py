"""Citations, in both directions.

Anthropic names a place by the kind of its numbers: characters and pages of a document, pieces of one, blocks of a
search result. Converse says the same with a union. Pages count from 1 on both sides, and ends are beyond the last.

Source: docs/reference/contracts/mapping.md#messages-and-content
"""

from typing import Any

# Anthropic's type, Converse's member, and how the members of the place are called on both sides
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


def from_converse(citation: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's citation for Converse's."""
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
                made["encrypted_index"] = ""  # Anthropic's own search would read it; Bedrock has none
            return made
    return {"type": "char_location", "cited_text": cited, "document_title": citation.get("title"), "document_index": 0,
            "start_char_index": 0, "end_char_index": 0}  # fmt: skip


def to_converse(citation: dict[str, Any]) -> Any:
    """Converse's citation for Anthropic's."""
    made: dict[str, Any] = {}
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
    """True where Anthropic calls the title that of a document."""
    return kind in ("char_location", "page_location", "content_block_location")
