"""The head of an HTTP request, and which heads are refused."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from msgspec import Struct

MAX_HEAD_BYTES = 64 * 1024
MAX_TARGET_BYTES = 16 * 1024
MAX_HEADERS = 128
# a name or an address, and a port (RFC 9110, 7.2); HTTP/1.0 has no such header
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")


class RequestHead(Struct):
    """The head of a request.

    path, query: percent-encoded, as they were received.
    headers: values by name in lower case; the values of a repeated header are joined by commas (RFC 9110, 5.3).
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]


def decoded(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Decode headers, whose names are in lower case, and join those that are repeated."""
    headers = {name.decode(): value.decode("latin-1") for name, value in raw_headers}
    return headers if len(headers) == len(raw_headers) else _join_repeated(raw_headers)


def _join_repeated(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        name, value = raw_name.decode(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def is_too_large(raw_headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell whether a head has more than MAX_HEAD_BYTES."""
    return sum(map(len, chain.from_iterable(raw_headers))) > MAX_HEAD_BYTES


@lru_cache(64)
def refusal_of_host(host: str | None, version: str) -> int:
    """Return the status with which the host of a request is refused; 0 if it is not."""
    if host is None:
        return 0 if version == "1.0" else 400
    return 0 if _HOST.match(host) else 400  # a repeated one has a comma
