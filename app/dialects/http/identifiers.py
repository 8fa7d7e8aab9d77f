"""Identifiers that Outcrop makes up."""

import re
import secrets

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


def new_request_id() -> str:
    """A fresh request id, a UUID as AWS's own are."""
    digits = secrets.token_hex(16)  # four times as fast as the uuid module
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def is_request_id(value: str) -> bool:
    """True if a caller's `x-request-id` is safe to repeat in headers and logs."""
    return _REQUEST_ID.match(value) is not None


def new_id(prefix: str) -> str:
    """`prefix` and 24 random hexadecimal digits: `new_id("chatcmpl-")`."""
    return prefix + secrets.token_hex(12)
