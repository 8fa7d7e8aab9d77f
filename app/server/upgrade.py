"""The wish of a client of HTTP/1.1 to speak another protocol, which a server may pass over (RFC 9110, 7.8)."""

import re

_UPGRADE = re.compile(rb"^(upgrade|http2-settings):[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


def without_upgrade(data: bytes, head_bytes: int) -> bytes:
    """The first bytes of a request without it. Java's client has it in its first request.

    Args:
        head_bytes: beyond which no head is looked for.
    """
    end = data.find(b"\r\n\r\n", 0, head_bytes) + 2
    if data.find(b"pgrade", 0, end) < 0 and data.find(b"PGRADE", 0, end) < 0:
        return data
    return _UPGRADE.sub(b"", data[:end]) + data[end:]
