"""Server-sent events, as the HTML standard frames them."""

CONTENT_TYPE = "text/event-stream; charset=utf-8"


COMMENT = b": still here\n\n"


def data_frame(payload: bytes) -> bytes:
    """One event without a name. `payload` must hold no line break, which compact JSON never does."""
    return b"data: " + payload + b"\n\n"


def named_frame(name: str, payload: bytes) -> bytes:
    """One event with a name. `payload` as for `data_frame`."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"
