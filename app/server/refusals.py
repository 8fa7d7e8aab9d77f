"""Responses to what is refused before a request reaches the application."""

from http import HTTPStatus

from app.wire import json

# the first bytes of a client that speaks HTTP/2 without negotiation (RFC 9113, 3.4)
HTTP_2_PREFACE = b"PRI * HTTP/2.0\r\n"
_REASON = b"this server speaks HTTP/1.1"
# two frames of HTTP/2: empty SETTINGS, and GOAWAY with the error HTTP_1_1_REQUIRED
HTTP_2_GO_AWAY = (
    bytes((0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8 + len(_REASON), 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13)) + _REASON
)


def refusal(status: int) -> bytes:
    """Return a response that closes the connection. No dialect is known yet, so its body fits the errors of all."""
    phrase = HTTPStatus(status).phrase
    error = {"type": "invalid_request_error", "message": phrase, "param": None, "code": None}
    body = json.dumps({"type": "error", "error": error, "message": phrase})
    head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
