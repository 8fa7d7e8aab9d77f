import contextlib
import json as stdlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire import json


@pytest.mark.parametrize("number", [2**63, 2**64 + 1, -(2**80), 10**40])
def test_integers_keep_every_digit(number: int) -> None:
    assert json.loads(json.dumps({"n": number})) == {"n": number}
    assert json.dumps(number) == str(number).encode()


def test_floats_and_text_survive() -> None:
    document = {"f": 0.1, "one": 1.0, "text": "Grüezi \N{SNOWMAN} \u0000", "list": [None, True]}
    assert json.loads(json.dumps(document)) == document
    assert json.dumps(1.0) == b"1.0"


@pytest.mark.parametrize("data", [b"", b"{", b"nope", b'"\xff"', b"[" * 100_000, b'{"a":1}x', b"NaN", b"1e999"])
def test_malformed_json_is_an_error_that_quotes_nothing(data: bytes) -> None:
    with pytest.raises(json.JsonError) as caught:
        json.loads(data)
    assert "nope" not in str(caught.value)


def test_dumps_text_is_compact() -> None:
    assert json.dumps_text({"a": [1, "b"]}) == '{"a":[1,"b"]}'


# documents of strangers


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a":1,"a":2}', "a"),
        ('{"a":{"b":[1,{"c":1,"d":{},"c":null}]}}', "a.b[1].c"),
        ('[{"x":1},{"x":1,"\\u0078":2}]', "[1].x"),
        ('{"a":"\\\\","b":1,"a":":"}', "a"),
        ('{"a\\"b":1,"c":{"":1,"":2}}', "c."),
        (' {\n"model" : "x" ,\t"model":"y"} ', "model"),
        ('{"%s":[{"a":1,"a":2}]}' % ("n" * 999), f"{'n' * 999}[…"),
    ],
)
def test_duplicate_key_is_found(text: str, path: str) -> None:
    with pytest.raises(json.JsonError, match="duplicate key") as refusal:
        json.loads_strictly(text.encode())
    assert refusal.value.path == path


@pytest.mark.parametrize(
    "text",
    ['{"a":"\\\\\\":\\\\","b":":,[{"}', '["a:b",":"]', '"a:b"', "1", '{"\\\\":{"\\"":"\\\\"}}', "[]", "{}", "null"],
)
def test_punctuation_within_strings_is_no_structure(text: str) -> None:
    assert json.loads_strictly(text.encode()) == json.loads(text)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab":\\[{,\u00e9\U0001f600', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab":\\', max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
def test_documents_without_duplicate_keys_are_read(document: object, is_ascii: bool, indent: int | None) -> None:
    text = stdlib.dumps(document, ensure_ascii=is_ascii, indent=indent)
    assert json.loads_strictly(text.encode()) == document


@given(DOCUMENTS.filter(lambda document: isinstance(document, dict) and document), DOCUMENTS)
def test_documents_with_a_duplicate_key_are_refused(document: object, other: object) -> None:
    name = next(iter(document))
    text = stdlib.dumps(document)[:-1] + "," + stdlib.dumps({name: other})[1:]
    with pytest.raises(json.JsonError, match="duplicate key") as refusal:
        json.loads_strictly(text.encode())
    assert refusal.value.path == (name or "") or not name


@given(st.binary(max_size=60) | st.text('{}[]":,\\1 ', max_size=60).map(str.encode))
def test_random_bytes_are_read_or_refused_as_by_loads(data: bytes) -> None:
    try:
        expected = json.loads(data)
    except json.JsonError:
        with pytest.raises(json.JsonError):
            json.loads_strictly(data)
        return
    try:
        found = json.loads_strictly(data)
    except json.JsonError:
        found = expected
        assert b'"' in data
    assert found == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 101 + "1" + "]" * 101, "nested"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested"),
        ("[" * 100_000, "nested|truncated|malformed"),
        ("[" + "[]," * 200_001 + "1]", "too many"),
        ("[" + '"",' * 200_001 + "1]", "too many"),
        ("[" + "1," * 200_001 + "1]", "too many"),
    ],
)
def test_number_and_depth_of_values_are_limited(text: str, reason: str) -> None:
    with pytest.raises(json.JsonError, match=reason):
        json.loads_strictly(text.encode())


def test_punctuation_in_a_long_string_is_one_value() -> None:
    text = stdlib.dumps({"a": '[{:,"' * 500_000})
    assert json.loads_strictly(text.encode()) == {"a": '[{:,"' * 500_000}
    assert json.loads_strictly(("[" * 99 + "]" * 99).encode()) is not None


@given(DOCUMENTS, st.integers(1, 40))
def test_quotes_are_counted_in_pieces_of_any_size(document: object, size: int) -> None:
    data = stdlib.dumps(document).encode()
    whole = json.outline_of(data).quotes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json, "_PIECE_BYTES", size)
        assert b"".join(json.pieces(data)) == data
        patch.setattr(json, "MAX_VALUES", len(data) - 1)
        assert json.outline_of(data).quotes == whole


def test_duplicate_key_among_long_strings_is_found() -> None:
    text = stdlib.dumps({"a": ["x:," * 5000], "b": {"c": "y" * 9000}})
    assert json.loads_strictly(text.encode())["b"] == {"c": "y" * 9000}
    with pytest.raises(json.JsonError, match="duplicate key") as refusal:
        json.loads_strictly((text[:-2] + ',"c":1}}').encode())
    assert refusal.value.path == "b.c"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uDE00"', "\ufffd"),
        (rb'"a\ud83db\ude00c"', "a\ufffdb\ufffdc"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\ud83d \ud83d\n\u0041"', "\\ud83d \ufffd\nA"),
        (rb'{"\ud83d":["\ud83d\ude00"]}', {"\ufffd": ["😀"]}),
    ],
)
def test_unpaired_surrogate_becomes_a_replacement_character(text: bytes, read: object) -> None:
    assert json.loads(text) == json.loads(text.decode()) == json.loads_strictly(text) == read
    assert json.reader_of(Any)(text) == read  # type: ignore[arg-type]
    assert json.loads(json.dumps(read)) == read


@pytest.mark.parametrize("text", [rb'"\ud83d', rb'["\ud83d",]', b'"\xed\xa0\xbd"', rb'"\ud83"', rb'"\ud83dx', b"["])
def test_malformed_text_with_unpaired_surrogates_is_refused(text: bytes) -> None:
    with pytest.raises(json.JsonError):
        json.loads(text)


def test_keys_that_are_equal_after_replacement_are_duplicates() -> None:
    with pytest.raises(json.JsonError, match="duplicate key"):
        json.loads_strictly(rb'{"\ud83d":1,"\ud83e":2}')


@given(st.text(st.characters(), max_size=9) | st.text('a\\\ud83d\ude00"', max_size=9))
def test_texts_of_javascript_are_read(text: str) -> None:
    well_formed = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(stdlib.dumps(text).encode()) == well_formed


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(rb'{"messages":[{"role":"user","content":"' + rb"\n" * 4_000_000, id="truncated"),
        pytest.param(rb'["\ud800' + rb"\n" * 4_000_000 + rb'"]', id="an unpaired surrogate among escapes"),
        pytest.param(rb'["' + rb"\\" * 4_000_000 + rb'\ud800"]', id="an unpaired surrogate behind backslashes"),
        pytest.param(b'["' + rb"\ud800" * 1_300_000 + b'"]', id="unpaired surrogates"),
        pytest.param(b'["' + rb"\ud83d\ude00" * 600_000 + rb'\ud800"]', id="paired surrogates"),
    ],
)
def test_replacing_surrogates_takes_a_small_multiple_of_the_text(text: bytes) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(json.JsonError):
            json.loads(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud800"', "\N{REPLACEMENT CHARACTER}"),
        (rb'"a\udc00b"', "a\N{REPLACEMENT CHARACTER}b"),
        (rb'"\ud83d\ude00\ud83d"', "\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}"),
        (rb'"\\ud83d\ude00 "', "\\ud83d\N{REPLACEMENT CHARACTER} "),
        (rb'"\\\ud83d\\ud83d "', "\\\N{REPLACEMENT CHARACTER}\\ud83d "),
    ],
)
def test_only_unpaired_surrogates_are_replaced(text: bytes, value: str) -> None:
    assert json.loads(text) == value


@pytest.mark.parametrize("size", range(1, 9))
def test_surrogates_are_found_where_a_span_ends(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding M1: one search through a document full of escapes held the event loop for more than a second."""
    monkeypatch.setattr("app.wire.json._PIECE_BYTES", size)
    for start in range(10):
        text = b"x" * start + rb"\\ud800 \ud83d\ude00\ude00\\\\\ud83d\\n\ud83d\ud83d\ude00\u0041\ud800"
        expected = f"{'x' * start}\\ud800 \U0001f600\ufffd\\\\\ufffd\\n\ufffd\U0001f600A\ufffd"
        assert json.loads(b'"' + text + b' "') == expected + " "


def test_more_surrogates_than_the_bound_are_refused() -> None:
    with pytest.raises(json.JsonError, match="too many surrogates"):
        json.loads(b'["' + rb"\ud83d\ude00" * 250_000 + rb'\ud800 "]')
