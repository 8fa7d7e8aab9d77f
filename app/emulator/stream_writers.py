"""Writers for the two framings of a stream: AWS's event stream and server-sent events.

Every recorded frame of an event stream has three text headers in this order, compact JSON with sorted keys, and a
member `p` that hides the length of the payload: the first 2 to 61 characters of a fixed alphabet.
"""

import random
import string
from base64 import b64encode
from collections.abc import Mapping

from app.wire import json
from app.wire.eventstream import encode_frame

_ALPHABET = string.ascii_lowercase + string.ascii_uppercase + string.digits


class FrameWriter:
    """Writes the frames of one event stream.

    Args:
        seed: determines the padding.
    """

    def __init__(self, seed: bytes) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- the padding protects nothing here  # nosec B311

    def event(self, kind: str, payload: Mapping[str, object]) -> bytes:
        """Write an event, padded."""
        padded = {**payload, "p": _ALPHABET[: self._random.randint(2, 61)]}
        headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
        return encode_frame(headers, json.dumps_sorted(padded))

    def chunk(self, document: Mapping[str, object]) -> bytes:
        """Write a chunk of InvokeModelWithResponseStream, which holds a document of the model's own format."""
        return self.event("chunk", {"bytes": b64encode(json.dumps(document)).decode()})

    def exception(self, kind: str, message: str, **extra: object) -> bytes:
        """Write an exception; `kind` is its name in camelCase."""
        headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
        return encode_frame(headers, json.dumps_sorted({"message": message, **extra}))


class SseWriter:
    """Writes exceptions into a stream of server-sent events."""

    def exception(self, kind: str, message: str, **_: object) -> bytes:
        """Write an error event, as OpenAI's."""
        code = {"throttlingException": "rate_limit_exceeded"}.get(kind, "server_error")
        event = {"type": "error", "code": code, "message": message, "param": None}
        return b"data: " + json.dumps(event) + b"\n\n"


def corrupt(frame: bytes) -> bytes:
    """The frame with a wrong checksum."""
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])
