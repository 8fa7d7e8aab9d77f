"""Server-sent events, as the HTML standard defines them."""

import re

CONTENT_TYPE = "text/event-stream; charset=utf-8"


COMMENT = b": still here\n\n"

_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r?\n\r?\n")


def data_frame(payload: bytes) -> bytes:
    """Encode an event without a name. `payload` must hold no line break; compact JSON holds none."""
    return b"data: " + payload + b"\n\n"


def named_frame(name: str, payload: bytes) -> bytes:
    """Encode an event with a name. `payload` as for `data_frame`."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)


class SseParser:
    """Parses a stream of events, however its reads are split. Lines end in LF or CRLF; bare CRs are not supported.

    Only the data of each event is returned: mantle sends `data:` before `event:` (recording bedrock_mantle
    reused_tool_call_ids), and repeats an event's name in its data.

    Args:
        limit: the most bytes of one event.
    """

    def __init__(self, limit: int = 32_000_000) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._searched = 0
        self._has_started = False

    def feed(self, data: bytes) -> list[bytes]:
        """Parse the next bytes; return the data of each event that they complete. Comments are skipped.

        Raises:
            ValueError: an event is larger than the limit.
        """
        self._buffer += data
        if not self._has_started and len(self._buffer) >= len(_BOM):
            self._has_started = True
            if self._buffer.startswith(_BOM):
                del self._buffer[: len(_BOM)]
        payloads = []
        while (end := _END.search(self._buffer, self._searched)) is not None:
            payload = _data_of(bytes(self._buffer[: end.start()]))
            del self._buffer[: end.end()]
            self._searched = 0
            if payload:
                payloads.append(payload)
        # a separator of four bytes may be split across two reads
        self._searched = max(len(self._buffer) - 3, 0)
        if len(self._buffer) > self._limit:
            raise ValueError("an event is too large")
        return payloads


def _data_of(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
