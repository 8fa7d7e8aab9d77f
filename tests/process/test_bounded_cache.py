from app.process.bounded_cache import remembered


def test_what_is_short_is_worked_out_once_and_what_is_long_is_not_kept() -> None:
    asked: list[str] = []

    @remembered(2)
    def upper(text: str) -> str:
        asked.append(text)
        return text.upper()

    assert [upper("a" * 512), upper("a" * 512)] == ["A" * 512] * 2
    assert [upper("b" * 513), upper("b" * 513)] == ["B" * 513] * 2
    assert [len(text) for text in asked] == [512, 513, 513]
