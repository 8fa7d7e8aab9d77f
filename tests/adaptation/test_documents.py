"""Documents: legal and unique names, and a text beside them."""

from typing import Any

import pytest

from tests.adaptation.calls import (
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
