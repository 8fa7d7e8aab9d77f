"""The head of an HTTP request."""

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
