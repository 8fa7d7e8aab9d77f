"""Documents: legal and unique names, and a text beside them."""

from typing import Any

import pytest

from tests.adaptation.calls import (
    CLAUDE_45,
    NOVA,
    PLAIN,
    adapt_call,
    assistant,
    spec,
    use,
    user,
)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a/b:c.v2", "a-b-c-v2"),
        ("  two   spaces ", "two spaces"),
        ("Überblick", "-berblick"),
        ("", "document"),
        ("x" * 300, "x" * 192),
    ],
)
def test_illegal_document_names_are_replaced(name: str, sent: str) -> None:
    document = {"document": {"format": "pdf", "name": name, "source": {"bytes": "AA=="}}}
    adapted = adapt_call(PLAIN, [user("t", document)])
    assert adapted.body["messages"][0]["content"][1]["document"]["name"] == sent
    assert adapted.adjusted == ["document_name"]


def test_document_names_are_unique_in_tool_results_too() -> None:
    def document(name: str) -> Any:
        return {"document": {"name": name, "source": {"text": "x"}}}

    inside = {"toolResult": {"toolUseId": "1", "content": [{"text": "r"}, document("a_1")]}}
    messages = [user("t", document("a_1"), document("a_1")), assistant(use("1")), user(inside)]
    adapted = adapt_call(PLAIN, messages, toolConfig={"tools": [spec("t")]})
    names = [block["document"]["name"] for block in adapted.blocks() if "document" in block]
    assert names == ["a_1", "a_1 (2)"]
    assert adapted.body["messages"][2]["content"][0]["toolResult"]["content"][1]["document"]["name"] == "a_1 (3)"


def test_a_turn_with_only_documents_gets_a_text() -> None:
    document = {"document": {"name": "a", "source": {"text": "x"}}}
    adapted = adapt_call(PLAIN, [user(document)])
    assert adapted.body["messages"] == [user(document, ".")]
    assert adapted.adjusted == ["document_text"]
    point = {"cachePoint": {"type": "default"}}
    adapted = adapt_call(PLAIN, [user(document, point)])
    assert adapted.body["messages"] == [user(document, ".", point)]


@pytest.mark.parametrize("kind", ["txt", "md", "csv", "docx"])
def test_a_text_stands_between_a_document_and_a_cache_point_for_claude(kind: str) -> None:
    """Recording bedrock_cache_messages_with_document_as_last_content; harness-sdk#1966."""
    paper: Any = {"document": {"name": "d", "format": kind, "source": {"bytes": "aGk="}}}
    point: Any = {"cachePoint": {"type": "default"}}
    adapted = adapt_call(CLAUDE_45, [user("read", paper, point)])
    assert adapted.body["messages"] == [user("read", paper, ".", point)]
    assert adapted.adjusted == ["document_text"]
    cited: Any = {"document": {**paper["document"], "citations": {"enabled": True}}}
    pdf: Any = {"document": {**paper["document"], "format": "pdf"}}
    for accepted in (cited, pdf):
        assert adapt_call(CLAUDE_45, [user("read", accepted, point)]).adjusted == []


def test_citations_are_dropped_and_named_where_the_model_gives_none() -> None:
    """boto3#4597; pydantic-ai 2.68, live: "This model doesn't support citations"."""
    source: Any = {"name": "d", "format": "txt", "source": {"bytes": "aGk="}}
    cited: Any = {"document": {**source, "citations": {"enabled": True}}}
    found: Any = {"searchResult": {"source": "s", "title": "t", "content": [], "citations": {"enabled": True}}}
    adapted = adapt_call(NOVA, [user("read", cited, found)])
    assert adapted.body["messages"] == [
        user("read", {"document": source}, {"searchResult": {"source": "s", "title": "t", "content": []}})
    ]
    assert adapted.ignored == ["citations"]
    assert adapt_call(CLAUDE_45, [user("read", cited)]).ignored == []
