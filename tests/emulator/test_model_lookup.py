"""Model ids, profile ids and ARNs that Converse refuses."""

from typing import Any

import pytest

from app.emulator.catalog import LLM_ID
from tests.emulator.calls import converse
from tests.emulator.converse_requests import assert_refused, user

pytestmark = pytest.mark.loopback

REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("amazon.titan-embed-text-v2:0", [user("a")], {}, "This action doesn't support the model"),
    ("anthropic.claude-sonnet-5", [user("a")], {}, "with on-demand throughput isn\u2019t supported."),
    ("anthropic.claude-nothing", [user("a")], {}, "The provided model identifier is invalid."),
    (
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl",
        [user("a")],
        {},
        "The provided model identifier is invalid.",
    ),
    ("scripted.echo-v1:0.nonsense", [user("a")], {}, "The provided model identifier is invalid."),
    ("scripted.echo-v1:0.cut-x", [user("a")], {}, "The provided model identifier is invalid."),
]


@pytest.mark.parametrize(("model", "messages", "more", "message"), REFUSED)
def test_model_identifiers_that_are_refused(bedrock: Any, model: str, messages: Any, more: Any, message: str) -> None:
    assert_refused(bedrock, model, messages, more, message)


def test_the_local_model_is_not_found_where_it_is_not_installed(url: str) -> None:
    answer = converse(url, LLM_ID)
    assert (answer.status_code, answer.headers["x-amzn-errortype"].split(":")[0]) == (404, "ResourceNotFoundException")
    assert answer.json()["message"] == "The local model is not installed: see requirements/local.txt."
