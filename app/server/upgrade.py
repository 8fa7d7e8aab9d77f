"""Removes the `Upgrade` header of HTTP/1.1, which a server may ignore (RFC 9110, 7.8)."""

import re

_UPGRADE = re.compile(rb"^(upgrade|http2-settings):[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


def without_upgrade(data: bytes, head_bytes: int) -> bytes:
    """Return the first bytes of a request without its upgrade headers. Java's client sends them in its first request.

    Args:
        head_bytes: the end of the head is searched for in so many bytes.
    """
    end = data.find(b"\r\n\r\n", 0, head_bytes) + 2
    if data.find(b"pgrade", 0, end) < 0 and data.find(b"PGRADE", 0, end) < 0:
        return data
    return _UPGRADE.sub(b"", data[:end]) + data[end:]
