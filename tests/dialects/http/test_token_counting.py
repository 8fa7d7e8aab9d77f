"""Estimates of tokens, for models whose tokens Bedrock does not count."""

from typing import Any

import pytest

from app.dialects.http.token_counting import estimate_tokens

PICTURE = "A" * 400_000


@pytest.mark.parametrize(
    ("value", "least", "limit"),
    [
        ("word " * 1000, 1250, 1250),
        ({"type": "base64", "media_type": "image/png", "data": PICTURE}, 1600, 1600),
        ({"image_url": f"data:image/png;base64,{PICTURE}"}, 1600, 1610),
        ({"file_data": f"data:application/pdf;base64,{PICTURE}"}, 1600, 1610),
        ({"image_url": f"DATA:image/png;BASE64,{PICTURE}"}, 1600, 1610),
        ({"type": "input_file", "filename": "a.pdf", "file_data": PICTURE}, 1600, 1620),
        ({"type": "tool_use", "name": "save", "input": {"file_data": "hello " * 10_000}}, 15_000, 15_020),
        ({"type": "tool_use", "name": "save", "input": {"type": "base64", "data": PICTURE}}, 100_000, 100_020),
        ({"type": "tool_use", "input": {"url": f"data:image/png;base64,{PICTURE}"}}, 100_000, 100_020),
        ({"type": "tool_use", "name": "save", "input": ["x", 5]}, 5, 8),
        ({"url": "https://example.org/" + "a" * 4000}, 1000, 1010),
        ({"text": "data: " + "hello " * 10_000}, 15_000, 15_010),
        ({"text": "data:image/png;base64, is how it begins. " + "hello " * 10_000}, 15_000, 15_020),
        (["data:image/png;base64," + "A" * 4000], 1000, 1010),
        (["a", 12345, None, {"b": True}], 4, 6),
    ],
)
def test_estimate_is_within_bounds(value: Any, least: int, limit: int) -> None:
    assert least <= estimate_tokens(value) <= limit
