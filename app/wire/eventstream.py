"""The frames of `application/vnd.amazon.eventstream`.

    u32 total length | u32 headers length | u32 CRC of these eight bytes | headers | payload | u32 CRC of all before it

A header is u8 name length, name, u8 type, value. All recorded frames of Bedrock have only type 7 (u16 length, UTF-8
text); the other types are read so that a future frame does not end a stream.
Source: the event stream specification of Smithy, botocore.eventstream, and

Source: docs/reference/contracts/bedrock-wire.md#event-stream-frames
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from zlib import crc32

from msgspec import Struct

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MAX_FRAME_BYTES = 24 * 1024 * 1024

_unpack_prelude = struct.Struct(">III").unpack_from
_unpack_u32 = struct.Struct(">I").unpack_from
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
_PRELUDE_BYTES = 12
_FIXED_VALUES = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}
_OVERHEAD = 16

HeaderValue = str | bytes | int | bool


class FrameError(ValueError):
    """The bytes are not a valid frame: a checksum or a length is wrong."""


class Frame(Struct, frozen=True):
    """One message: its headers by name, and its payload."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Encode a frame whose headers are all text."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + _U16.pack(len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", len(head) + len(payload) + _OVERHEAD, len(head))
    body = lengths + _U32.pack(crc32(lengths)) + head + payload
    return body + _U32.pack(crc32(body))


class FrameDecoder(Struct):
    """Splits a byte stream into frames, however its reads are split.

    is_at_boundary: no partial frame is buffered, so a stream may end here.
    """

    is_at_boundary: bool = True
    _buffer: bytearray = bytearray()
    _failure: str = ""

    def feed(self, data: bytes) -> list[Frame]:
        """Parse the next bytes; return the frames that they complete.

        A broken frame after valid ones is raised by the next call, so that those are not lost.

        Raises:
            FrameError: a checksum does not match, or a length is impossible.
        """
        if self._failure:
            raise FrameError(self._failure)
        frames: list[Frame] = []
        if self._buffer:
            self._buffer += data
        try:
            end = _split(self._buffer or data, frames)
        except FrameError as error:
            self.is_at_boundary = False
            self._failure = str(error)  # not the error itself: its traceback would keep the frames of the call alive
            if not frames:
                raise
            return frames
        if self._buffer:
            del self._buffer[:end]
        elif end != len(data):
            self._buffer += data[end:]
        self.is_at_boundary = not self._buffer
        return frames


def _split(data: bytes | bytearray, frames: list[Frame]) -> int:
    """Append the complete frames to `frames`, up to a broken one; return where the last of them ends."""
    start, left = 0, len(data)
    while left >= _PRELUDE_BYTES:
        total, headers_length, prelude_crc = _unpack_prelude(data, start)
        if not _OVERHEAD + headers_length <= total <= left:
            if crc32(data[start : start + 8]) != prelude_crc:
                raise FrameError("the checksum of a frame's prelude does not match")
            if not _OVERHEAD + headers_length <= total <= MAX_FRAME_BYTES:
                raise FrameError("the length of a frame is impossible")
            break
        frame = bytes(data[start : start + total])
        if crc32(frame[:-4]) != _unpack_u32(frame, total - 4)[0]:
            raise FrameError("the checksum of a frame does not match")
        headers_end = _PRELUDE_BYTES + headers_length
        frames.append(Frame(_read_headers(frame[_PRELUDE_BYTES:headers_end]), frame[headers_end:-4]))
        start, left = start + total, left - total
    return start


@lru_cache(maxsize=64)
def _read_headers(data: bytes) -> Mapping[str, HeaderValue]:
    """Parse a block of headers; nearly all frames of a stream have one of a few blocks."""
    return MappingProxyType(dict(_iter_headers(data)))


def _iter_headers(data: bytes) -> Iterator[tuple[str, HeaderValue]]:
    position = 0
    try:
        while position < len(data):
            name_end = position + 1 + data[position]
            name = data[position + 1 : name_end].decode()
            kind = data[name_end]
            position = name_end + 1
            value: HeaderValue
            if kind in (6, 7):
                length = _U16.unpack_from(data, position)[0]
                raw = data[position + 2 : position + 2 + length]
                if len(raw) != length:
                    raise FrameError("a frame's header is cut short")
                value = raw.decode() if kind == 7 else raw
                position += 2 + length
            elif kind in (0, 1):
                value = kind == 0
            elif kind in _FIXED_VALUES:
                layout = struct.Struct(_FIXED_VALUES[kind])
                value = layout.unpack_from(data, position)[0]
                position += layout.size
            elif kind == 9:
                value = data[position : position + 16]
                position += 16
                if len(value) != 16:
                    raise FrameError("a frame's header is cut short")
            else:
                raise FrameError("a frame's header has an unknown type")
            yield name, value
    except (IndexError, struct.error, UnicodeDecodeError):
        raise FrameError("a frame's header is malformed") from None
