"""Which heads of requests are refused."""

import re
from collections.abc import Sequence
from functools import lru_cache

MAX_HEAD_BYTES = 64 * 1024
MAX_TARGET_BYTES = 16 * 1024
MAX_HEADERS = 128
# a name or an address, and a port (RFC 9110, 7.2); HTTP/1.0 has no such header
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")


def refusal_of_head(headers: Sequence[tuple[bytes, bytes]], version: str) -> int:
    """Return the status with which a head is refused; 0 if it is not."""
    size, hosts = 0, []
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts.append(value)
    if size > MAX_HEAD_BYTES:
        return 431
    if not hosts and version == "1.0":
        return 0
    return 0 if len(hosts) == 1 and _is_host(hosts[0]) else 400


@lru_cache(64)
def _is_host(value: bytes) -> bool:
    return _HOST.match(value) is not None
