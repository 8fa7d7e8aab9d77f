"""The one door to JSON.

`msgspec` stands behind it: as fast as the fastest, and exact where `orjson` is not (an integer beyond 64 bits keeps
every digit; `orjson` turns it into a float). Measured and compared on 2026-11-24.
"""

import json as stdlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
JsonObject = dict[str, Any]  # an object of a document that has not been checked against a schema

_decode = msgspec.json.Decoder().decode
dumps = msgspec.json.Encoder().encode
# members by name, so that what is equal is written alike
dumps_sorted = msgspec.json.Encoder(order="sorted").encode

# what a stranger's document may hold: a value costs the parser up to 30 times the bytes that it takes to write
_MAX_VALUES = 200_000
_MAX_DEPTH = 100
_PIECE_BYTES = 64 * 1024
_LONGEST_PATH = 1000


class JsonError(ValueError):
    """The bytes are not JSON. The message is public: it never quotes the input, but for the names in `path`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


_FAULTS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def _told(error: Exception) -> JsonError:
    if isinstance(error, UnicodeError):
        return JsonError("the text is not valid UTF-8")
    if isinstance(error, RecursionError):
        return JsonError("the document is nested too deeply")
    return JsonError(str(error))


def loads(data: bytes | str) -> Any:
    """Parse one JSON document. Halves of surrogate pairs, which are no characters, become U+FFFD.

    Raises:
        JsonError: not JSON, not UTF-8, or nested deeper than the interpreter's recursion limit.
    """
    return _read_by(_decode, data)


def _read_by(decode: Callable[[bytes | str], T], data: bytes | str) -> T:
    try:
        return decode(data)
    except _FAULTS as error:
        mended = _ESCAPES.sub(_whole_pair, data.encode() if isinstance(data, str) else data)
        if mended == data:
            raise _told(error) from None
    try:
        return decode(mended)
    except _FAULTS as error:
        raise _told(error) from None


# JavaScript cuts texts between the halves, and writes what it has (claude-code#12631, #72995)
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL
)
_HALF = 6


def _whole_pair(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == _HALF else escape[0]


def loads_strictly(data: bytes) -> Any:
    """Parse a stranger's document: no name twice in one object, since two readers may not read the same of it.

    Raises:
        JsonError: as `loads` does; a name stands twice, with its path; or it holds more, or is nested deeper, than
            any request needs.
    """
    quotes = _count_quotes(data)
    document = loads(data)
    # where a name stands twice, one of the two is gone with all that it named
    if type(document) in _CONTAINERS and 2 * _count_strings(document, _MAX_DEPTH) != quotes:
        steps = _first_twice(stdlib.loads(data, object_pairs_hook=_Pairs))
        raise JsonError("this name stands twice", path=_path(steps))
    return document


def _count_quotes(data: bytes) -> int:
    """How many quotes begin and end the strings of a document.

    Raises:
        JsonError: it holds too many values.
    """
    if len(data) <= _MAX_VALUES:
        written = _without_escapes(data)
        return len(written) - len(written.replace(b'"', b""))  # twice as quick as `count`
    values = quotes = 0
    for piece in _pieces(data):
        if quotes % 2 and b'"' not in piece:  # of a long string; to look for one takes a fortieth of splitting
            continue
        parts = _without_escapes(piece).split(b'"')
        outside = b"".join(parts[quotes % 2 :: 2])
        values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        quotes += len(parts) - 1
        if max(values, quotes // 2) > _MAX_VALUES:
            raise JsonError("the document holds too many values")
    return quotes


def _without_escapes(data: bytes) -> bytes:
    """A document without the quotes that stand within its strings."""
    if b"\\" not in data or b'\\"' not in data:
        return data
    return data.replace(b"\\\\", b"").replace(b'\\"', b"")


def _pieces(data: bytes) -> Iterator[bytes]:
    """A document in pieces, so that no more than one of a large document is held twice; none ends within an escape."""
    start = 0
    while start < len(data):
        piece = data[start : start + _PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = data[start : start + len(piece) + 1]
        start += len(piece)
        yield piece


def _count_strings(value: Any, room: int) -> int:
    """How many strings stand in a document, names included."""
    if not room:
        raise JsonError("the document is nested too deeply")
    if type(value) is dict:
        count, inside = len(value), value.values()
    else:
        count, inside = 0, value
    for each in inside:
        kind = type(each)
        if kind is str:
            count += 1
        elif kind in _CONTAINERS:
            count += _count_strings(each, room - 1)
    return count


_CONTAINERS = frozenset({dict, list})


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, all of them."""


def _first_twice(value: list[Any]) -> list[str | int]:
    """The steps to the first name that stands twice in an object, the last one first."""
    seen: set[str | int] = set()
    for step, inside in value if isinstance(value, _Pairs) else enumerate(value):
        if step in seen:
            return [step]
        seen.add(step)
        if isinstance(inside, list) and (steps := _first_twice(inside)):
            return [*steps, step]
    return []


def _path(steps: list[str | int]) -> str:
    """The path of steps that are told from the last to the first, as `messages[0].content`."""
    path = ""
    for step in reversed(steps):
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"


def loads_as(data: bytes | str, kind: type[T]) -> T:
    """Parse only what a type declares; the rest is passed over without becoming objects.

    Raises:
        JsonError: as `loads` does, or the document is not of this type.
    """
    return reader_of(kind)(data)


def reader_of(kind: type[T]) -> Callable[[bytes | str], T]:
    """What does the same for one type, ready to be called often. Where a type declares bytes, they stand in base64."""
    decode: Callable[[bytes | str], T] = msgspec.json.Decoder(kind).decode

    return partial(_read_by, decode)


def dumps_text(value: Any) -> str:
    """Serialise to compact JSON text, as tool arguments and schemas travel inside other JSON."""
    return dumps(value).decode()
