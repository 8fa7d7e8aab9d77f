"""Which models a policy allows."""

import pytest

from app.governance.identity.caller import Policy

NAMES = {"us.anthropic.claude-x-v1:0", "anthropic.claude-x-v1:0", "smart"}


@pytest.mark.parametrize(
    ("lists", "is_allowed"),
    [
        ((), True),
        (((),), False),
        ((("anthropic.*",),), True),
        ((("us.*",),), True),
        ((("eu.*",),), False),
        ((("smart",),), True),
        ((("Smart",),), False),
        ((("sm",),), False),
        ((("amazon.*", "*claude*"),), True),
        ((("anthropic.*",), ("smart",)), True),
        ((("anthropic.*",), ("amazon.*",)), False),
    ],
)
def test_a_model_matches_one_pattern_of_each_list(lists: tuple[tuple[str, ...], ...], is_allowed: bool) -> None:
    assert Policy(team_id="t", models=lists).allows(NAMES) is is_allowed
