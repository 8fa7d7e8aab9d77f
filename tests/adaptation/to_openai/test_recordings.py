"""Recorded responses of mantle, if `../shared/recordings` exists, as replies of Converse."""

from pathlib import Path
from typing import Any

import pytest

from app.adaptation.adapted_document import adapt_document
from app.adaptation.to_openai.responses_reply import from_response
from app.converse.call import ModelCall
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from tests.adaptation.calls import user

FOLDER = Path(__file__).parents[4] / "shared" / "recordings"
RECORDED = [
    each["response"]
    for path in (sorted(FOLDER.glob("*bedrock_mantle*")) if FOLDER.is_dir() else ())
    for each in json.loads(path.read_bytes())["interactions"]
    if each["response"].get("object") == "response"
]
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/recordings does not exist")


def said(output: list[Any]) -> list[tuple[str, str]]:
    """Return the texts and calls of the items, in their order."""
    found: list[tuple[str, str]] = []
    for item in output:
        if item["type"] == "message":
            found += [("text", part["text"]) for part in item["content"]]
        elif item["type"] == "function_call":
            found.append((item["name"], item["arguments"]))
    return found


@pytest.mark.parametrize("response", RECORDED, ids=lambda response: response["id"][-8:])
def test_a_recorded_response_says_the_same_as_a_reply(response: Any) -> None:
    reply: Any = from_response(response)
    content = reply["output"]["message"]["content"]
    shown = [("text", block["text"]) for block in content if "text" in block]
    shown += [
        (block["toolUse"]["name"], json.dumps_text(block["toolUse"]["input"]))
        for block in content
        if "toolUse" in block
    ]
    assert sorted(shown) == sorted(said(response["output"]))
    assert reply["usage"]["totalTokens"] == response["usage"]["total_tokens"]
    assert reply["stopReason"] == ("tool_use" if any("toolUse" in block for block in content) else "end_turn")
    # and the model gets its own items back
    call = ModelCall("m", {"messages": [user("x"), reply["output"]["message"], user("y")]})
    sent = adapt_document(
        call, "openai_responses", capabilities_of(parse_model_id("openai.gpt-5.5")), is_streamed=False
    )
    encrypted = {each["encrypted_content"] for each in response["output"] if each.get("encrypted_content")}
    assert {each["encrypted_content"] for each in sent.body["input"] if "encrypted_content" in each} == encrypted
