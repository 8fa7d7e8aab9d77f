"""Estimates how much memory a JSON document takes once it is parsed.

Python holds a text with 1, 2 or 4 bytes for each character, by its widest one. When a text that is not ASCII was
serialized, its UTF-8 is kept beside it.
"""

import sys

from app.wire.json import MAX_VALUES, Outline, mask_escapes, pieces

# an empty list takes 64 bytes, with the reference to it, and an object with one member 200
_VALUE_BYTES = 100
_EXACT_BYTES = 64 * 1024
# of a text that is not ASCII, besides its characters and the one that ends it
_HEAD_BYTES = sys.getsizeof("\u0100") - 4
# one of a pair stands whole in one of two pieces
_SURROGATES = tuple(b"\\ud%c" % digit for digit in b"89abcdef")
# `\u00e9` and five bytes fewer are one character
_ESCAPE_EXCESS = 5


def peak_bytes(data: bytes, outline: Outline) -> tuple[int, int]:
    """Return the most memory that texts, and that values, of a document take while it is parsed and serialized again.

    The document itself is included. Of a small document that is not ASCII, the most that its size allows is assumed.
    """
    size = len(data)
    # one byte is found faster than two
    if data.isascii() and (b"\\" not in data or b"\\u" not in data):
        texts = 2 * size
    else:
        texts = 2 * size + (4 * size if size <= _EXACT_BYTES else _text_bytes(data))
    return texts, min(outline.values, MAX_VALUES) * _VALUE_BYTES


def _text_bytes(data: bytes) -> int:
    """Return how many bytes the characters of a document take; what is outside of its strings counts as well."""
    total = length = 0  # length: characters of the string that has begun
    width = 1
    for piece in pieces(data):
        text = mask_escapes(piece)
        first, last = text.find(b'"'), text.rfind(b'"')
        if first >= 0:
            more, wider = _measure(text[:first])
            total += (length + more) * max(width, wider)
            more, wider = _measure(text[first:last])
            total += more * wider
            length, width, text = 0, 1, text[last:]
        more, wider = _measure(text)
        length, width = length + more, max(width, wider)
    return total + length * width


def _measure(text: bytes) -> tuple[int, int]:
    """Return the number of characters of a text, and the bytes that Python needs for each of them."""
    if text.isascii():
        length, width = len(text), 1
    else:
        characters = text.decode(errors="ignore")
        length = len(characters)
        width = (sys.getsizeof(characters) - _HEAD_BYTES) // (length + 1)
    if b"\\" not in text or b"\\u" not in text:
        return length, width
    escapes, lower = text.count(b"\\u"), text.lower()
    if any(surrogate in lower for surrogate in _SURROGATES):
        width = 4
    elif escapes > text.count(b"\\u00"):
        width = max(width, 2)
    return length - _ESCAPE_EXCESS * escapes, width
