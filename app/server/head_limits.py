"""Which heads of requests are refused."""

import re
from collections.abc import Sequence

MAX_HEAD_BYTES = 64 * 1024
MAX_TARGET_BYTES = 16 * 1024
MAX_HEADERS = 128
# a name or an address, and a port (RFC 9110, 7.2); HTTP/1.0 has no such header
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")


def refusal_of_head(headers: Sequence[tuple[bytes, bytes]], version: str) -> int:
    """Return the status with which a head is refused; 0 if it is not."""
    if sum([len(name) + len(value) for name, value in headers]) > MAX_HEAD_BYTES:
        return 431
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version == "1.0":
        return 0
    return 0 if len(hosts) == 1 and _HOST.match(hosts[0]) else 400
