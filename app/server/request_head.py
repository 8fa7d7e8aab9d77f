"""The head of an HTTP request."""

from collections.abc import Sequence

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


def headers_of(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Decode the headers of a request, whose names are in lower case, and join those that are repeated."""
    headers = {name.decode(): value.decode("latin-1") for name, value in raw_headers}
    if len(headers) < len(raw_headers):
        headers = {}
        for raw_name, raw_value in raw_headers:
            name, value = raw_name.decode(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
