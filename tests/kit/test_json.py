import pytest

from app.kit import json


@pytest.mark.parametrize("number", [2**63, 2**64 + 1, -(2**80), 10**40])
def test_integers_keep_every_digit(number: int) -> None:
    assert json.loads(json.dumps({"n": number})) == {"n": number}
    assert json.dumps(number) == str(number).encode()


def test_floats_and_text_survive() -> None:
    document = {"f": 0.1, "one": 1.0, "text": "Grüezi \N{SNOWMAN} \u0000", "list": [None, True]}
    assert json.loads(json.dumps(document)) == document
    assert json.dumps(1.0) == b"1.0"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nope", b'"\xff"', b"[" * 100_000, b'{"a":1}x', b"NaN", b'"\\ud800"', b"1e999"]
)
def test_what_is_not_json_is_a_json_error_that_quotes_nothing(data: bytes) -> None:
    with pytest.raises(json.JsonError) as caught:
        json.loads(data)
    assert "nope" not in str(caught.value)


def test_text_is_compact() -> None:
    assert json.dumps_text({"a": [1, "b"]}) == '{"a":[1,"b"]}'
