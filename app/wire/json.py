"""JSON, by msgspec: integers beyond 64 bits keep every digit, where orjson would turn them into floats.

Why msgspec: docs/adr/0004-msgspec-behind-the-json-codec.md.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")
JsonObject = dict[str, Any]  # of a document that has not been validated

_decode = msgspec.json.Decoder().decode
_ENCODER = msgspec.json.Encoder()
dumps = _ENCODER.encode
# replaces the content of a bytearray, whose memory is used again: for texts that are copied elsewhere at once
dump_into = _ENCODER.encode_into
# keys in order, so that equal documents have equal bytes
dumps_sorted = msgspec.json.Encoder(order="sorted").encode

# bounds of a caller's document: a parsed value takes up to 30 times the bytes of its text
MAX_VALUES = 200_000
_MAX_DEPTH = 100
_PIECE_BYTES = 64 * 1024
# bytes that follow the first one of a character
_CONTINUATION = range(0x80, 0xC0)
_MAX_CONTINUATIONS = 3
_LONGEST_PATH = 1000


class JsonError(ValueError):
    """The bytes are not JSON. The message is public: it quotes nothing of the input but the keys in `path`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


_FAULTS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def _json_error(error: Exception) -> JsonError:
    if isinstance(error, UnicodeError):
        return JsonError("the text is not valid UTF-8")
    if isinstance(error, RecursionError):
        return JsonError("the document is nested too deeply")
    return JsonError(str(error))


def loads(data: bytes | str) -> Any:
    """Parse one JSON document. Unpaired surrogates become U+FFFD.

    Raises:
        JsonError: not JSON, not UTF-8, or nested deeper than the interpreter's recursion limit.
    """
    try:
        return _decode(data)
    except _FAULTS as error:
        return _decode_replacing_surrogates(_decode, data, error)


def _decode_replacing_surrogates(decode: Callable[[bytes | str], T], data: bytes | str, error: Exception) -> T:
    """Decode once more without unpaired surrogates. Raises JsonError: for `error` where they are not its cause."""
    data = data.encode() if isinstance(data, str) else data
    replaced = _replace_unpaired(data) if _is_about_surrogates(error, data) else b""
    if not replaced:
        raise _json_error(error) from None
    try:
        return decode(replaced)
    except _FAULTS as another:
        raise _json_error(another) from None


# escaped surrogates, a pair as one match; JavaScript clients cut texts within a pair (claude-code#12631, #72995)
_SURROGATES = re.compile(
    rb"(?<!\\)(?:\\\\)*+(\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2}))"
)
_MAX_SURROGATES = 250_000
_ESCAPE_BYTES = 6


def _is_about_surrogates(error: Exception, data: bytes) -> bool:
    """True if msgspec refused an unpaired surrogate; in the last bytes of the data it calls that truncated."""
    message = str(error)
    return "surrogate" in message or ("truncated" in message and b"\\u" in data[-2 * _ESCAPE_BYTES :])


def _replace_unpaired(data: bytes) -> bytes:
    """Replace unpaired surrogates by U+FFFD; empty where there are none. Raises JsonError: too many surrogates."""
    replaced, end, rest = bytearray(), 0, memoryview(data)
    found = (match for span in _spans(data) for match in _SURROGATES.finditer(data, *span))
    for number, match in enumerate(found):
        if number == _MAX_SURROGATES:
            raise JsonError("the document holds too many surrogates")
        start = match.start(1)
        if match.end() - start == _ESCAPE_BYTES:
            replaced += rest[end:start]
            replaced += b"\\ufffd"
            end = match.end()
    return bytes(replaced + rest[end:]) if replaced else b""


_LOW_SURROGATE = re.compile(rb"\\u[dD][c-fC-F]")
_ESCAPE = re.compile(rb"(?<!\\)\\")


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Divide a document into spans, none of which ends within an escape or a pair of surrogates.

    One search holds the interpreter, and takes a second for a long document that is full of escapes.
    """
    start = 0
    while start < len(data):
        escape = _ESCAPE.search(data, start + _PIECE_BYTES)
        end = escape.start() if escape else len(data)
        if escape and _LOW_SURROGATE.match(data, end):
            end += _ESCAPE_BYTES
        yield start, end
        start = end


class Outline(NamedTuple):
    """What is counted of a document before it is parsed.

    quotes: those that begin and end its strings. values: at most; of a large document exactly. Of one with too many
    quotes or values only the first are counted.
    """

    quotes: int
    values: int


def loads_strictly(data: bytes, outline: Outline | None = None) -> Any:
    """Parse a caller's document. Duplicate keys are refused: two parsers may keep different ones.

    Args:
        outline: of the document, if it is known already.

    Raises:
        JsonError: as `loads` does; a duplicate key, with its path; too many values or levels.
    """
    # one byte is found faster than two
    if outline is None and len(data) <= MAX_VALUES and (b"\\" not in data or b'\\"' not in data):
        quotes = len(data) - len(data.replace(b'"', b""))  # twice as fast as `count`
    else:
        quotes, values = outline or outline_of(data)
        if max(values, quotes // 2) > MAX_VALUES:
            raise JsonError("the document holds too many values")
    document = loads(data)
    # a duplicate key is missing from the parsed document, with all that its first value held
    if isinstance(document, (dict, list)) and 2 * _count_strings(document) != quotes:
        del document  # it is not held beside what the search needs
        raise JsonError("duplicate key", path=_find_duplicate(data))
    return document


def outline_of(data: bytes) -> Outline:
    """Count the strings and values of a document."""
    if len(data) <= MAX_VALUES:
        masked = mask_escapes(data)
        return Outline(len(masked) - len(masked.replace(b'"', b"")), _count_marks(data))
    values = quotes = 0
    for piece in pieces(data):
        if quotes % 2 and b'"' not in piece:  # within a long string; splitting takes 40 times as long as this
            continue
        masked = mask_escapes(piece)
        if quotes % 2 and b'"' not in masked:
            continue
        parts = masked.split(b'"')
        values += _count_marks(b"".join(parts[quotes % 2 :: 2]))
        quotes += len(parts) - 1
        if max(values, quotes // 2) > MAX_VALUES:
            break
    return Outline(quotes, values)


def _count_marks(text: bytes) -> int:
    """Count what stands before values."""
    return len(text) - len(text.replace(b",", b"").replace(b"[", b"").replace(b"{", b""))


def mask_escapes(data: bytes) -> bytes:
    """Replace escaped quotes and backslashes by as many other bytes, which is faster than removing them."""
    if b"\\" not in data:
        return data
    return data.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def pieces(data: bytes) -> Iterator[bytes]:
    """Split a document into pieces, none of which ends within an escape or a character.

    Only one piece is copied at a time.
    """
    start = 0
    while start < len(data):
        piece = data[start : start + _PIECE_BYTES]
        end = whole = start + len(piece)
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            end += 1
        last = min(end + _MAX_CONTINUATIONS, len(data))
        while end < last and data[end] in _CONTINUATION:
            end += 1
        yield piece if end == whole else data[start:end]
        start = end


def _count_strings(document: JsonObject | list[Any]) -> int:
    """Count the strings of a document, keys included, level by level. Raises JsonError: values below the last level."""
    count = 0
    level: list[Any] = [document]
    for _ in range(_MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)  # faster than isinstance
            if kind is str:
                count += 1
            elif kind is dict:
                count += len(value)
                below += value.values()
            elif kind is list:
                below += value
        if not below:
            return count
        level = below
    raise JsonError("the document is nested too deeply")


# a string, whose escapes take no memory, or what separates values
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)


class _Container(Struct):
    """An object or list that a search is within. keys: of an object so far. step: to the value that is read now."""

    keys: set[str] | None
    step: str | int = 0
    has_key: bool = False


def _find_duplicate(data: bytes) -> str:
    """Return the path of the first duplicate key of a well-formed document, without a copy of its texts."""
    open_containers: list[_Container] = []
    for match in _TOKENS.finditer(data):
        start = data[match.start()]
        inside = open_containers[-1] if open_containers else None
        if start in b"[{":
            open_containers.append(_Container(set() if start in b"{" else None))
        elif start in b"]}":
            open_containers.pop()
        elif inside is None:
            break
        elif start in b"," and inside.keys is None:
            inside.step = int(inside.step) + 1
        elif start in b",":
            inside.has_key = False
        elif inside.keys is not None and not inside.has_key:
            key = inside.step = loads(match[0])
            inside.has_key = True
            if key in inside.keys:
                return _path([each.step for each in open_containers])
            inside.keys.add(key)
    return ""


def _path(steps: list[str | int]) -> str:
    """Spell steps as a path such as `messages[0].content`."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"


def loads_as(data: bytes | str, kind: type[T]) -> T:
    """Parse what a type declares; other members are skipped without becoming objects.

    Raises:
        JsonError: as `loads` does, or the document is not of this type.
    """
    return reader_of(kind)(data)


def reader_of(kind: type[T]) -> Callable[[bytes | str], T]:
    """Make a reusable `loads_as` for one type. Members declared as bytes are read from base64."""
    decode: Callable[[bytes | str], T] = msgspec.json.Decoder(kind).decode

    def read(data: bytes | str) -> T:
        try:
            return decode(data)
        except _FAULTS as error:
            return _decode_replacing_surrogates(decode, data, error)

    return read


def as_type(document: object, kind: type[T]) -> T | None:
    """Return a parsed document as a value of a type; None if it does not match exactly."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        return None


def dumps_text(value: object) -> str:
    """Serialise to compact JSON text, for JSON within JSON such as tool arguments."""
    return dumps(value).decode()
