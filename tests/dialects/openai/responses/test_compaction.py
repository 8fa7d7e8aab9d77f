"""Compacted conversations: what the model is asked, and what comes back."""

from typing import Any

import pytest

from app.dialects.openai.responses.compaction import SCOPE, compacted, read_summary, summary_request
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.errors import InvalidRequest, UpstreamFailed

SIGNER = ReasoningSigner((b"secret",), "ada", SCOPE)
TOOL = {"type": "function", "name": "f"}


def response(text: str = "They like blue.", status: str = "completed") -> Any:
    content = [{"type": "output_text", "text": text}]
    output = [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": content}]
    return {"id": "resp_1", "status": status, "created_at": 7, "output": output, "usage": {"total_tokens": 9}}


def test_model_is_asked_for_a_summary_after_the_conversation() -> None:
    more = {"tools": [TOOL], "tool_choice": "required", "text": {"format": {"type": "json_object"}}, "stream": True}
    asked = summary_request({"model": "m", "input": "I like blue.", "instructions": "Be kind.", **more})
    first, last = asked.pop("input")
    assert first == {"type": "message", "role": "user", "content": "I like blue."}
    assert last["content"].startswith("Summarize the conversation")
    # with the same tools, a cached prefix is found again
    expected = {"model": "m", "instructions": "Be kind.", "tools": [TOOL], "tool_choice": "none", "store": False}
    assert asked == expected


@pytest.mark.parametrize(
    ("document", "param"),
    [({"input": "x"}, "model"), ({"model": "m"}, "input"), ({"model": "m", "input": []}, "input")],
)
def test_model_and_conversation_are_needed(document: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        summary_request(document)
    assert caught.value.param == param


def test_output_is_what_the_user_said_and_a_summary() -> None:
    items: list[object] = [
        {"role": "user", "content": "I like blue.", "id": "msg_0"},
        {"role": "assistant", "content": "Noted."},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And green."}], "id": "msg_0"},
    ]
    made = compacted(response(), items, SIGNER)
    *said, compaction = made.pop("output")
    assert made == {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 7,
        "usage": {"total_tokens": 9},
    }
    assert [item["content"][0]["text"] for item in said] == ["I like blue.", "And green."]
    assert {item["status"] for item in said} == {"completed"}
    assert len({item["id"] for item in said}) == 2
    read: Any = read_summary(compaction, "input[2]", SIGNER)
    assert (read["role"], read["content"]) == (
        "user",
        "Summary of the conversation before this point:\n\nThey like blue.",
    )


@pytest.mark.parametrize("answer", [response(" "), response(status="incomplete"), {**response(), "output": []}])
def test_no_summary_is_a_failure(answer: Any) -> None:
    with pytest.raises(UpstreamFailed):
        compacted(answer, [], SIGNER)


@pytest.mark.parametrize(
    "other", [ReasoningSigner((b"secret",), "eve", SCOPE), ReasoningSigner((b"changed",), "ada", SCOPE)]
)
@pytest.mark.parametrize("kind", ["compaction", "context_compaction", "compaction_summary"])
def test_summary_of_another_caller_or_deployment_is_refused(other: ReasoningSigner, kind: str) -> None:
    item = {**compacted(response(), [], other)["output"][0], "type": kind}
    with pytest.raises(InvalidRequest) as caught:
        read_summary(item, "input[0]", SIGNER)
    assert caught.value.param == "input[0].encrypted_content"


@pytest.mark.parametrize(
    "item", [5, {"type": "compaction", "encrypted_content": "gAAAA-of-openai"}, {"type": "message", "content": "x"}]
)
def test_other_items_stay_as_they_are(item: object) -> None:
    assert read_summary(item, "input[0]", SIGNER) is item


def test_reasoning_is_no_summary() -> None:
    signed = SIGNER.close({"reasoningText": {"text": "hm"}})
    with pytest.raises(InvalidRequest):
        read_summary({"type": "compaction", "encrypted_content": signed}, "input[0]", SIGNER)
