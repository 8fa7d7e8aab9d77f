"""Each dialect has a case for each situation, streamed and not."""

import pytest

from tests.dialects.situations import DIALECTS, SITUATIONS, golden

STREAMED = {"openai/chat": "chunks.json", "openai/responses": "events.json", "anthropic": "events.json"}
WHOLE = {"openai/chat": "completion.json", "openai/responses": "response.json", "anthropic": "message.json"}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_case_for_each_situation(dialect: str, situation: str) -> None:
    names = {path.name for path in golden(dialect, situation).iterdir()}
    assert {"request.json", "call.json", "reply.json", WHOLE[dialect], STREAMED[dialect]} <= names
