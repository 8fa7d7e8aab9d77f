"""Event-stream frames as Bedrock writes them.

Every recorded frame has three text headers in this order, compact JSON with sorted keys, and a member `p` that hides
the length of the payload: the start of a fixed alphabet, 2 to 61 long, unrelated to the rest.
"""

import random
import string
from base64 import b64encode
from typing import Any

import msgspec

from app.wire.eventstream import encode_frame

_ALPHABET = string.ascii_lowercase + string.ascii_uppercase + string.digits
_SORTED = msgspec.json.Encoder(order="sorted")


class FrameWriter:
    """Writes the frames of one stream; the padding of a seed is always the same."""

    def __init__(self, seed: bytes) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- padding of an emulator guards nothing  # nosec B311

    def event(self, kind: str, payload: dict[str, Any]) -> bytes:
        """An event with padding."""
        padded = {**payload, "p": _ALPHABET[: self._random.randint(2, 61)]}
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        return encode_frame(headers, _SORTED.encode(padded))

    def chunk(self, document: dict[str, Any]) -> bytes:
        """A chunk of InvokeModelWithResponseStream: a document of the model's own format."""
        return self.event("chunk", {"bytes": b64encode(msgspec.json.encode(document)).decode()})

    def exception(self, kind: str, message: str, **extra: Any) -> bytes:
        """An exception, named in camelCase."""
        headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
        return encode_frame(headers, _SORTED.encode({"message": message, **extra}))


def corrupt(frame: bytes) -> bytes:
    """The frame with a wrong checksum."""
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


class SseWriter:
    """Writes what goes wrong into a stream of server-sent events."""

    def exception(self, name: str, message: str, **_: object) -> bytes:
        """An error event, as OpenAI's."""
        code = {"throttlingException": "rate_limit_exceeded"}.get(name, "server_error")
        return (
            b"data: "
            + msgspec.json.encode({"type": "error", "code": code, "message": message, "param": None})
            + b"\n\n"
        )
