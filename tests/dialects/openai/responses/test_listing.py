"""Pages of the input items of a response."""

from typing import Any

from app.dialects.openai.responses.listing import page_of

ITEMS: list[Any] = [
    {"role": "user", "content": "a", "id": "same"},
    {"role": "assistant", "content": "b", "id": "same"},
    {"type": "function_call_output", "call_id": "c", "output": "d", "id": None},
    {"type": "function_call_output", "call_id": "c", "output": "d", "id": ""},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"},
]


def test_pages_lead_to_the_end() -> None:
    seen: list[Any] = []
    query = "order=asc&limit=1"
    for _ in range(10):
        page = page_of(ITEMS, "resp_1", query)
        seen += page["data"]
        if not page["has_more"]:
            break
        query = f"order=asc&limit=1&after={page['last_id']}"
    assert [item["id"] for item in seen] == ["same", "item_1_1", "item_2_1", "item_3_1", "rs_1"]
    assert [item["type"] for item in seen] == ["message", "message", *["function_call_output"] * 2, "reasoning"]
    assert [item["content"][0]["type"] for item in seen[:2]] == ["input_text", "output_text"]
    assert "secret" not in str(seen)
    assert page_of([], "resp_1", "")["first_id"] is None
