"""The one door to JSON.

`msgspec` stands behind it: as fast as the fastest, and exact where `orjson` is not (an integer beyond 64 bits keeps
every digit; `orjson` turns it into a float). Measured and compared on 2026-11-24.
"""

import json as stdlib
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode
dumps = msgspec.json.Encoder().encode

# what a stranger's document may hold: a value costs the parser up to 30 times the bytes that it takes to write
_MOST_VALUES = 200_000
_MOST_DEPTH = 100
_FAR_APART = 1024


class JsonError(ValueError):
    """The bytes are not JSON. The message is public: it never quotes the input, but for the names in `path`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def loads(data: bytes | str) -> Any:
    """Parse one JSON document.

    Raises:
        JsonError: not JSON, not UTF-8, or nested deeper than the interpreter's recursion limit.
    """
    try:
        return _decode(data)
    except UnicodeError:
        raise JsonError("the text is not valid UTF-8") from None
    except RecursionError:
        raise JsonError("the document is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise JsonError(str(error)) from None


def loads_strictly(data: bytes) -> Any:
    """Parse a stranger's document: no name twice in one object, since two readers may not read the same of it.

    Raises:
        JsonError: as `loads` does; a name stands twice, with its path; or it holds more, or is nested deeper, than
            any request needs.
    """
    outside = _outside_strings(data)
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > _MOST_VALUES:
        raise JsonError("the document holds too many values")
    document = loads(data)
    if type(document) not in _CONTAINERS:
        return document
    if _count_members(document, _MOST_DEPTH) != outside.count(b":"):
        raise JsonError("this name stands twice", path=_first_twice(stdlib.loads(data, object_pairs_hook=_Pairs)))
    return document


def _outside_strings(data: bytes) -> bytes:
    """What of a document stands between its strings: as quick as splitting it is."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    quotes = data.count(b'"')
    if quotes > 2 * _MOST_VALUES:
        raise JsonError("the document holds too many values")
    if quotes * _FAR_APART > len(data):
        return b"".join(data.split(b'"')[::2])
    return b"".join(_between_quotes(data))


def _between_quotes(data: bytes) -> Iterator[bytes]:
    """The same, without a copy of the strings: for documents whose strings are long."""
    here = 0
    while (start := data.find(b'"', here)) >= 0:
        yield data[here:start]
        end = data.find(b'"', start + 1)
        if end < 0:
            return
        here = end + 1
    yield data[here:]


def _count_members(value: Any, room: int) -> int:
    """How many members the objects in a document have."""
    if not room:
        raise JsonError("the document is nested too deeply")
    if type(value) is dict:
        count, inside = len(value), value.values()
    else:
        count, inside = 0, value
    for each in inside:
        if type(each) in _CONTAINERS:
            count += _count_members(each, room - 1)
    return count


_CONTAINERS = frozenset({dict, list})


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, all of them."""


def _first_twice(value: Any, path: str = "") -> str:
    """The path of the first name that stands twice in an object, as `messages[0].content`."""
    if isinstance(value, _Pairs):
        seen = set()
        for name, inside in value:
            here = f"{path}.{name}" if path else name
            if name in seen:
                return here
            seen.add(name)
            if found := _first_twice(inside, here):
                return found
    elif isinstance(value, list):
        for place, inside in enumerate(value):
            if found := _first_twice(inside, f"{path}[{place}]"):
                return found
    return ""


def loads_as(data: bytes | str, kind: type[T]) -> T:
    """Parse only what a type declares; the rest is passed over without becoming objects.

    Raises:
        JsonError: as `loads` does, or the document is not of this type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise JsonError(str(error)) from None


def dumps_text(value: Any) -> str:
    """Serialise to compact JSON text, as tool arguments and schemas travel inside other JSON."""
    return dumps(value).decode()
