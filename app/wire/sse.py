"""Server-sent events, as the HTML standard frames them."""

import re

CONTENT_TYPE = "text/event-stream; charset=utf-8"


COMMENT = b": still here\n\n"

_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r?\n\r?\n")


def data_frame(payload: bytes) -> bytes:
    """One event without a name. `payload` must hold no line break, which compact JSON never does."""
    return b"data: " + payload + b"\n\n"


def named_frame(name: str, payload: bytes) -> bytes:
    """One event with a name. `payload` as for `data_frame`."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)


class SseParser:
    """Takes a stream of events apart, however its reads were split. Lines end in LF or CRLF; nobody sends bare CRs.

    Bedrock's mantle sends `data:` before `event:` (recording bedrock_mantle reused_tool_call_ids), and names an event
    in its data too: so only the data of each event is given out.

    Args:
        limit: the most bytes that one event may have.
    """

    def __init__(self, limit: int = 32_000_000) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._looked = 0
        self._has_begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the data of each event that they complete. Comments are left out.

        Raises:
            ValueError: an event is larger than the limit.
        """
        self._buffer += data
        if not self._has_begun and len(self._buffer) >= len(_BOM):
            self._has_begun = True
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]
        payloads = []
        while (end := _END.search(self._buffer, self._looked)) is not None:
            payload = _data_of(bytes(self._buffer[: end.start()]))
            del self._buffer[: end.end()]
            self._looked = 0
            if payload:
                payloads.append(payload)
        # an end of four bytes may lie across two reads
        self._looked = max(len(self._buffer) - 3, 0)
        if len(self._buffer) > self._limit:
            raise ValueError("an event is too large")
        return payloads


def _data_of(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
