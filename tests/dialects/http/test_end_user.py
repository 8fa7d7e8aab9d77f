"""The end user that a body names."""

from typing import Any

import pytest

from app.dialects.http.end_user import end_user_in

# as two sessions of Claude Code 2.1.332 send it
CLAUDE_CODE = '{"device_id":"a887","account_uuid":"%s","session_id":"%s"}'


@pytest.mark.parametrize(
    ("document", "user"),
    [
        ({"user": "ada", "safety_identifier": "bob"}, "ada"),
        ({"user": "", "safety_identifier": "bob"}, "bob"),
        ({"user": 5, "metadata": {"user_id": "cyd"}}, "cyd"),
        ({"metadata": "cyd"}, ""),
        ({"metadata": {"user_id": "user_1f_account_2e_session_3d"}}, "user_1f_account_2e"),
        ({"metadata": {"user_id": '{"device_id": 5}'}}, '{"device_id": 5}'),
        ({"metadata": {"user_id": "{no JSON"}}, "{no JSON"),
        ({"metadata": {"user_id": "[1]"}}, "[1]"),
        ({}, ""),
    ],
)
def test_the_first_member_that_names_a_user_counts(document: Any, user: str) -> None:
    assert end_user_in(document) == user


@pytest.mark.parametrize(("account", "user"), [("", "a887"), ("b1e2", "b1e2")])
def test_the_sessions_of_claude_code_are_one_user(account: str, user: str) -> None:
    found = {end_user_in({"metadata": {"user_id": CLAUDE_CODE % (account, session)}}) for session in ("2c40", "77f0")}
    assert found == {user}
