from app.process.bounded_cache import bounded_cache


def test_results_are_cached_for_short_keys_only() -> None:
    computed: list[str] = []

    @bounded_cache(2)
    def upper(text: str) -> str:
        computed.append(text)
        return text.upper()

    assert [upper("a" * 512), upper("a" * 512)] == ["A" * 512] * 2
    assert [upper("b" * 513), upper("b" * 513)] == ["B" * 513] * 2
    assert [len(text) for text in computed] == [512, 513, 513]


def test_a_full_cache_is_emptied() -> None:
    computed: list[str] = []

    @bounded_cache(2)
    def upper(text: str) -> str:
        computed.append(text)
        return text.upper()

    for text in ("a", "b", "a", "c", "a"):
        assert upper(text) == text.upper()
    assert computed == ["a", "b", "c", "a"]
