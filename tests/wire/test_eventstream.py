"""Frames: decoded as by botocore, however the bytes are split."""

import contextlib
import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from app.wire.eventstream import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, encode_frame

names = st.text(st.characters(codec="ascii", categories=["Ll", "Pd"]), min_size=1, max_size=20)
frames = st.tuples(st.dictionaries(names, st.text(max_size=40), max_size=4), st.binary(max_size=300))


@given(st.lists(frames, min_size=1, max_size=5), st.data())
def test_frames_are_the_same_however_bytes_are_split(
    wanted: list[tuple[dict[str, str], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode_frame(headers, payload) for headers, payload in wanted)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = FrameDecoder()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += decoder.feed(stream[start:end])
    assert [(dict(frame.headers), frame.payload) for frame in got] == wanted
    assert decoder.is_at_boundary


def test_frames_arrive_byte_by_byte() -> None:
    decoder = FrameDecoder()
    stream = encode_frame({"a": "b"}, b"payload") * 3
    got = [frame for byte in stream for frame in decoder.feed(bytes([byte]))]
    assert got == [Frame({"a": "b"}, b"payload")] * 3


@given(frames)
def test_botocore_decodes_encoded_frames(wanted: tuple[dict[str, str], bytes]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_frame(*wanted))
    (message,) = list(buffer)
    assert (message.headers, message.payload) == wanted


def raw_frame(head: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack(">II", len(head) + len(payload) + 16, len(head))
    body = lengths + struct.pack(">I", crc32(lengths)) + head + payload
    return body + struct.pack(">I", crc32(body))


def test_all_header_types_are_read() -> None:
    head = b"".join(
        [
            b"\x01a\x00",
            b"\x01b\x01",
            b"\x01c\x02\xff",
            b"\x01d\x03\x01\x00",
            b"\x01e\x04\x00\x00\x00\x07",
            b"\x01f\x05" + struct.pack(">q", -9),
            b"\x01g\x06\x00\x02\x00\x01",
            b"\x01h\x07\x00\x02hi",
            b"\x01i\x08" + struct.pack(">q", 1),
            b"\x01j\x09" + bytes(16),
        ]
    )
    (frame,) = FrameDecoder().feed(raw_frame(head))
    assert frame.headers == {
        "a": True, "b": False, "c": -1, "d": 256, "e": 7, "f": -9, "g": b"\x00\x01", "h": "hi", "i": 1, "j": bytes(16)
    }  # fmt: skip


@pytest.mark.parametrize("index", [0, 5, 9, 13, 20, -1])
def test_flipped_bit_is_an_error(index: int) -> None:
    frame = bytearray(encode_frame({"name": "value"}, b"payload"))
    frame[index] ^= 1
    with pytest.raises(FrameError):
        FrameDecoder().feed(bytes(frame))


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (16, 1), (MAX_FRAME_BYTES + 1, 0), (2**32 - 1, 0)])
def test_impossible_length_is_an_error_at_once(total: int, headers: int) -> None:
    lengths = struct.pack(">II", total, headers)
    with pytest.raises(FrameError, match="impossible"):
        FrameDecoder().feed(lengths + struct.pack(">I", crc32(lengths)))


@pytest.mark.parametrize(
    "head", [b"\x01a", b"\x09a", b"\x01a\x07\x00\x09hi", b"\x01a\x0c", b"\x01a\x04\x00", b"\x01\xff\x00"]
)
def test_malformed_header_is_an_error(head: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(raw_frame(head))


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_frame_errors(noise: bytes) -> None:
    decoder = FrameDecoder()
    with contextlib.suppress(FrameError):
        assert decoder.feed(noise) == []
