"""Which heads of requests are refused."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

MAX_HEAD_BYTES = 64 * 1024
MAX_TARGET_BYTES = 16 * 1024
MAX_HEADERS = 128
# a name or an address, and a port (RFC 9110, 7.2); HTTP/1.0 has no such header
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")


def refusal_of_head(
    headers: Sequence[tuple[bytes, bytes]], by_name: Mapping[bytes, bytes], version: str, *, may_be_large: bool = True
) -> int:
    """Return the status with which a head is refused; 0 if it is not.

    Args:
        by_name: the last value of each header. may_be_large: the head may have more than MAX_HEAD_BYTES.
    """
    if len(headers) > MAX_HEADERS or (may_be_large and sum(map(len, chain.from_iterable(headers))) > MAX_HEAD_BYTES):
        return 431
    host = by_name.get(b"host")
    if host is None:
        return 0 if version == "1.0" else 400
    is_repeated = len(by_name) < len(headers) and sum(name == b"host" for name, _ in headers) > 1
    return 0 if _is_host(host) and not is_repeated else 400


@lru_cache(64)
def _is_host(value: bytes) -> bool:
    return _HOST.match(value) is not None
