"""Malformed bodies are refused with status 400 and never cause an internal error."""

from typing import Any

import pytest

from tests.emulator.calls import ANTHROPIC_BODY, MESSAGES, post

pytestmark = pytest.mark.loopback

MALFORMED: list[tuple[str, Any]] = [
    ("converse", b"{"),
    ("converse", [1]),
    ("converse", 5),
    ("converse", {"messages": "x"}),
    ("converse", {"messages": [5]}),
    ("converse", {"messages": {"a": 1}}),
    ("converse", {"messages": [{"role": "user", "content": [{}]}]}),
    ("converse", {"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]}),
    ("converse", {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "%"}}}]}]}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 1.5}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 2**31}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": {"temperature": "warm"}}),
    ("converse", {"messages": MESSAGES, "inferenceConfig": [1]}),
    ("converse", {"messages": MESSAGES, "requestMetadata": [1]}),
    ("converse", {"messages": MESSAGES, "toolConfig": {"tools": [{"toolSpec": {"name": "t"}}]}}),
    ("count-tokens", {"input": {}}),
    ("count-tokens", {}),
    ("invoke", b"nope"),
    ("invoke", {}),
    ("invoke", [1]),
    *[
        ("invoke", {**ANTHROPIC_BODY, "messages": value})
        for value in (
            None,
            True,
            "x",
            [None],
            [{}],
            [{"role": "user"}],
            [[]],
            [],
            [{"role": "assistant", "content": "x"}],
        )
    ],
    *[
        ("invoke", {**ANTHROPIC_BODY, "messages": [{"role": "user", "content": value}]})
        for value in (1.5, [None], ["x"], {"a": 1}, [{"type": "wizard"}])
    ],
    *[("invoke", {**ANTHROPIC_BODY, "system": value}) for value in (1e3, [None], ["x"], [{"type": "text"}])],
    *[
        ("invoke", {**ANTHROPIC_BODY, "tools": value})
        for value in ([None], [{}], [{"name": "x"}], [{"type": "web_search_20250305", "name": "w"}])
    ],
    ("invoke", {**ANTHROPIC_BODY, "tools": [{"name": "x", "input_schema": {"type": "object"}}], "tool_choice": "x"}),
    ("invoke", {**ANTHROPIC_BODY, "extra": 1}),
    ("invoke", {"anthropic_version": "x", "messages": []}),
]


@pytest.mark.parametrize(("operation", "body"), MALFORMED)
def test_a_malformed_body_is_refused(url: str, operation: str, body: Any) -> None:
    model = "anthropic.claude-sonnet-4-20250514-v1:0" if operation == "invoke" else "scripted.echo-v1:0"
    answer = post(url, f"/model/{model}/{operation}", body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-amzn-errortype"].partition(":")[0] in ("ValidationException", "SerializationException")
