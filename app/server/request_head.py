"""The head of an HTTP request."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class RequestHead(Struct):
    """The head of a request.

    path, query: percent-encoded, as they were received.
    headers: values by name in lower case; the values of a repeated header are joined by commas (RFC 9110, 5.3).
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]


def head_of(scope: Mapping[str, Any]) -> RequestHead:
    """Return the head of the request of an ASGI scope."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return RequestHead(scope["method"], raw_path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers)
