"""Each dialect has a golden case for each situation, streamed and complete, and each case has a purpose."""

import pytest

from tests.dialects.situations import DIALECTS, HERE, cases_of, golden

STREAMED = {"openai/chat": "chunks.json", "openai/responses": "events.json", "anthropic": "events.json"}
COMPLETE = {"openai/chat": "completion.json", "openai/responses": "response.json", "anthropic": "message.json"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_case_is_listed_and_has_its_files(dialect: str) -> None:
    cases = cases_of(dialect)
    assert sorted(path.name for path in (HERE / dialect / "golden").iterdir()) == cases
    for case in cases:
        names = {path.name for path in golden(dialect, case).iterdir()}
        assert {"request.json", "call.json", "reply.json", COMPLETE[dialect], STREAMED[dialect]} <= names
