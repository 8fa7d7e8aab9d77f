"""Removes the `Upgrade` header of HTTP/1.1, which a server may ignore (RFC 9110, 7.8), unless it is for a WebSocket."""

import re
from collections.abc import Mapping

_UPGRADE = re.compile(rb"^(upgrade|http2-settings):[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)
_WEBSOCKET = re.compile(rb"^upgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)


def asks_for_websocket(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a request whose protocol shall be changed asks for a WebSocket, and has no body."""
    has_body = "content-length" in headers or "transfer-encoding" in headers
    return method == "GET" and headers.get("upgrade", "").lower() == "websocket" and not has_body


def without_upgrade(data: bytes, head_bytes: int) -> bytes:
    """Return the first bytes of a request without its upgrade headers. Java's client sends them in its first request.

    A GET that asks for a WebSocket keeps them.

    Args:
        head_bytes: the end of the head is searched for in so many bytes.
    """
    end = data.find(b"\r\n\r\n", 0, head_bytes) + 2
    if data.find(b"pgrade", 0, end) < 0 and data.find(b"PGRADE", 0, end) < 0:
        return data
    if data.startswith(b"GET ") and _WEBSOCKET.search(data, 0, end):
        return data
    return _UPGRADE.sub(b"", data[:end]) + data[end:]
