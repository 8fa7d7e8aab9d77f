import pytest

from app.dialects.openai.common.tools import custom_input


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "ls -l"}', "ls -l"),
        ("{}", ""),
        ('{"input": "ls', '{"input": "ls'),
        ('{"command": "ls"}', '{"command": "ls"}'),
        ('["ls"]', '["ls"]'),
    ],
    ids=["declared shape", "no arguments", "truncated JSON", "another field", "no object"],
)
def test_input_of_custom_tool_is_its_text_or_the_arguments_as_they_are(arguments: str, text: str) -> None:
    assert custom_input(arguments) == text
