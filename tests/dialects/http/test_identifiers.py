from app.dialects.http import identifiers


def test_ids_are_new_and_prefixed() -> None:
    assert identifiers.new_id("chatcmpl-").startswith("chatcmpl-")
    assert identifiers.new_id("chatcmpl-") != identifiers.new_id("chatcmpl-")
