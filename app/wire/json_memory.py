"""Estimates how much memory a JSON document takes once it is parsed.

Python holds a text with 1, 2 or 4 bytes for each character, by its widest one. When a text that is not ASCII was
serialized, its UTF-8 is kept beside it.
"""

from app.wire.json import MAX_VALUES, pieces

# an empty list takes 64 bytes, with the reference to it, and an object with one member 200
_VALUE_BYTES = 100
_EXACT_BYTES = 64 * 1024
_CONTINUATION = bytes(range(0x80, 0xC0))
# bytes that begin characters from U+0100 and from U+10000
_BEYOND_1_BYTE = bytes(range(0xC4, 0x100))
_BEYOND_2_BYTES = bytes(range(0xF0, 0x100))
_SURROGATES = (b"\\ud8", b"\\ud9", b"\\uda", b"\\udb")
# `\\u00e9` and five bytes fewer are one character
_ESCAPE_EXCESS = 5


def peak_bytes(data: bytes) -> tuple[int, int]:
    """Return the most memory that texts, and that values, of a document take while it is parsed and serialized again.

    The document itself is included. Of a small document that is not ASCII, the most that its size allows is assumed.
    """
    size = len(data)
    values = sum([_count_marks(piece) for piece in pieces(data)])
    if data.isascii() and b"\\u" not in data:
        texts = 2 * size
    else:
        texts = 2 * size + (4 * size if size <= _EXACT_BYTES else _text_bytes(data))
    return texts, min(values, MAX_VALUES) * _VALUE_BYTES


def _count_marks(piece: bytes) -> int:
    """Count what stands before values. A piece of a picture has none, which is found ten times as fast as counting."""
    if b"," not in piece and b"[" not in piece and b"{" not in piece:
        return 0
    return len(piece) - len(piece.translate(None, b",[{"))


def _text_bytes(data: bytes) -> int:
    """Return how many bytes the characters of a document take; what is outside of its strings counts as well."""
    total = length = 0  # length: characters of the string that has begun
    width = 1
    for piece in pieces(data):
        text = piece.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in piece else piece
        first, last = text.find(b'"'), text.rfind(b'"')
        if first >= 0:
            total += (length + _count_characters(text[:first])) * max(width, _width(text[:first]))
            total += _count_characters(text[first:last]) * _width(text[first:last])
            length, width, text = 0, 1, text[last:]
        length, width = length + _count_characters(text), max(width, _width(text))
    return total + length * width


def _count_characters(text: bytes) -> int:
    bytes_of_others = len(text) - len(text.translate(None, _CONTINUATION)) if not text.isascii() else 0
    return len(text) - bytes_of_others - _ESCAPE_EXCESS * text.count(b"\\u")


def _width(text: bytes) -> int:
    """Return the bytes that Python needs for each character of a text."""
    width = 1
    if not text.isascii() and len(text.translate(None, _BEYOND_1_BYTE)) < len(text):
        width = 4 if len(text.translate(None, _BEYOND_2_BYTES)) < len(text) else 2
    if b"\\u" in text:
        lower = text.lower()
        if any(escape in lower for escape in _SURROGATES):
            return 4
        if text.count(b"\\u") > text.count(b"\\u00"):
            return max(width, 2)
    return width
