from app.dialects.http import identifiers


def test_ids_are_fresh_and_safe() -> None:
    assert identifiers.new_request_id() != identifiers.new_request_id()
    assert identifiers.is_request_id(identifiers.new_request_id())
    assert identifiers.new_id("chatcmpl-").startswith("chatcmpl-")
    for bad in ("", "a b", "a\nb", "x" * 129, "\N{SNOWMAN}", 'a"b'):
        assert not identifiers.is_request_id(bad)
