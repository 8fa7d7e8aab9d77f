"""The estimate of what a document takes in memory (finding H3)."""

import json as stdlib_json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire import json, json_memory


def peak_bytes(data: bytes) -> tuple[int, int]:
    return json_memory.peak_bytes(data, json.outline_of(data))


def taken(value: object, seen: set[int] | None = None) -> int:
    """Return the memory of a parsed document, with the UTF-8 that serialization leaves beside its texts."""
    seen = set() if seen is None else seen
    size = 0 if id(value) in seen else sys.getsizeof(value)
    seen.add(id(value))
    if isinstance(value, dict):
        return size + sum(taken(key, seen) + taken(inside, seen) for key, inside in value.items())
    if isinstance(value, list):
        return size + sum(taken(inside, seen) for inside in value)
    return size


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        (b"a", 2.0),
        ("é".encode() + b"a" * 99, 3.0),
        ("漢".encode() + b"a" * 99, 4.0),
        ("漢".encode(), 2.67),
        ("😀".encode() + b"a" * 99, 6.0),
        ("😀".encode(), 3.0),
        (rb"\u4e00" + b"a" * 94, 4.0),
        (rb"\ud83d\ude00" + b"a" * 88, 6.0),
        (rb"\u00e9" + b"a" * 94, 3.0),
        (rb"\n\"\\u4e00", 3.0),
    ],
)
def test_a_text_counts_by_its_widest_character(text: bytes, factor: float) -> None:
    """H3: 24 MB of ASCII with one emoji were counted as 24 MB."""
    body = b'{"content":"' + text * (1_000_000 // len(text)) + b'"}'
    texts, _ = peak_bytes(body)
    assert factor * 0.85 < texts / len(body) < factor * 1.02
    document = json.loads(body)
    json.dumps(document)
    assert texts + 1000 >= taken(document) + len(body)


@pytest.mark.parametrize("position", [0, 65_530, 70_000, 399_990])
@pytest.mark.parametrize("wide", ["😀", r"\ud83d\ude00"])
def test_a_wide_character_counts_for_its_own_text_only(position: int, wide: str) -> None:
    texts = ["a" * 400_000, "a" * position + wide + "a" * (400_000 - position), "a" * 400_000]
    body = stdlib_json.dumps({"x": texts}, ensure_ascii=False).replace(r"\\u", r"\u")
    assert 6 * 400_000 + 2 * 2 * 800_000 * 0.7 < peak_bytes(body.encode())[0] <= 6 * 400_000 + 3 * 800_000 + 600_000


@pytest.mark.parametrize("values", ["[]", '{"a":1}', '{"ab":{}}', "1.5", "12345", '"text"', '[["a"]]', "null"])
def test_values_count_by_their_number(values: str) -> None:
    body = f'{{"x":[{",".join([values] * 20_000)}]}}'.encode()
    assert sum(peak_bytes(body)) >= taken(json.loads(body)) + len(body)


def test_punctuation_in_the_texts_of_a_large_document_counts_as_no_value() -> None:
    assert peak_bytes(json.dumps({"x": ["a, [b] {c}" * 50_000, "d"]}))[1] < 1000


@pytest.mark.parametrize("wide", [rb"\ud83d\ude00", "😀".encode(), "漢".encode(), rb"\u4e00"])
def test_a_wide_character_counts_wherever_a_piece_ends(wide: bytes) -> None:
    """An escaped emoji across the end of a piece made no text wide: 20 MB of such a text were counted as 10."""
    characters = 140_000
    width = characters_of(json.loads(b'"%b"' % wide))
    for position in range(65_500, 65_550):
        body = b'{"x":"%b"}' % (b"a" * position + wide + b"a" * (characters - position))
        assert peak_bytes(body)[0] - 2 * len(body) >= width * characters


TEXTS = st.text(st.sampled_from('aé漢😀"\\\n,[{u'), max_size=50)


@given(
    st.recursive(TEXTS | st.integers() | st.none(), lambda inside: st.lists(inside) | st.dictionaries(TEXTS, inside))
)
def test_the_characters_of_any_document_count(document: object) -> None:
    characters = sum(map(characters_of, flattened(document)))
    for body in (json.dumps(document), stdlib_json.dumps(document).encode()):
        for padded in (body, body + b" " * 70_000):  # the longer one is counted exactly
            assert peak_bytes(padded)[0] - len(padded) >= characters


def flattened(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in flattened(each)]
    if isinstance(value, list):
        return [text for each in value for text in flattened(each)]
    return [value] if isinstance(value, str) else []


def characters_of(text: str) -> int:
    return len(text) * (1 if max(text, default="") < "\u0100" else 2 if max(text) < "\U00010000" else 4)


def test_brackets_of_a_large_body_are_counted_quickly() -> None:
    """Counting 24 MB of brackets held the interpreter for half a second, and with it all other callers."""
    body = b"[" * 24_000_000
    started = time.thread_time()
    peak_bytes(body)
    assert time.thread_time() - started < 0.2
