"""Errors in OpenAI's format."""

import pytest

from app.dialects.openai.common.errors import error_body
from app.errors import InvalidRequest
from app.wire import json


@pytest.mark.parametrize(
    ("message", "param", "shown"),
    [
        ("must not be empty", "input[1]", "input[1]: must not be empty"),
        ("only one choice is supported: n is 2", "n", "only one choice is supported: n is 2"),
        ("messages[0]: Field required", "messages[0]", "messages[0]: Field required"),
        ("the body is empty", None, "the body is empty"),
    ],
)
def test_a_message_names_the_field_since_sdks_show_nothing_else(message: str, param: str | None, shown: str) -> None:
    error = json.loads(error_body(InvalidRequest(message, param=param)))["error"]
    assert (error["message"], error["param"]) == (shown, param)
