"""Signature Version 4: the parts that signing and verification share.

Source: the AWS guide "Create a signed AWS API request"; tests/bedrock/test_signing.py compares it with botocore's
signer over generated requests. As for every service but S3, the path is percent-encoded once more than on the wire: an
ARN's `%2F` becomes `%252F`.
"""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote, unquote_to_bytes

from app.process.bounded_cache import bounded_cache

ALGORITHM = "AWS4-HMAC-SHA256"
_DATE, _TIME = len("20260131"), len("235959Z")


def sha256_hex(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


@bounded_cache(1024)
def canonical_path(path: str) -> str:
    """Return the path as it is signed. `path` is the percent-encoded path of the request line."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment and segment != ".":
            segments.append(segment)
    trailing = "/" if segments and path.endswith("/") else ""
    return quote("/" + "/".join(segments) + trailing, safe="/~")


def canonical_query(query: str) -> str:
    """Return the query string as it is signed: pairs sorted, a missing value written as empty."""
    if not query:
        return ""
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)


def spelt_as_signed(query: str) -> str:
    """Return an equivalent query in the spelling that AWS verifies: `a+b` as `a%20b`, `%c3` as `%C3`, and every
    character that is not unreserved in RFC 3986 percent-encoded."""
    if not query:
        return ""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(f"{_spelt(name)}{equals}{_spelt(value)}" for name, equals, value in pairs)


def _spelt(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="~")


def canonical_request(
    method: str, path: str, query: str, headers: Iterable[tuple[str, str]], payload_hash: str
) -> tuple[str, str]:
    """Return the canonical request and the list of signed headers.

    `headers` are the ones to sign, names in lower case. Runs of spaces within a value count as one; the values of a
    repeated name are joined by a comma.
    """
    folded: dict[str, str] = {}
    for name, value in headers:
        text = " ".join(value.split())
        folded[name] = f"{folded[name]},{text}" if name in folded else text
    signed = ";".join(sorted(folded))
    lines = "".join(f"{name}:{folded[name]}\n" for name in sorted(folded))
    return f"{method}\n{canonical_path(path)}\n{canonical_query(query)}\n{lines}\n{signed}\n{payload_hash}", signed


def moment_of(timestamp: str) -> float:
    """Parse a timestamp of AWS's headers, `20260131T235959Z`, into seconds since the epoch.

    Raises:
        ValueError: it is malformed.
    """
    date, _, time = timestamp.partition("T")
    if not (
        timestamp.isascii() and date.isdigit() and len(date) == _DATE and time[:-1].isdigit() and len(time) == _TIME
    ):
        raise ValueError
    return datetime.fromisoformat(timestamp).timestamp()  # 20 times as fast as strptime


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive the signing key for one day (`YYYYMMDD`), region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, timestamp: str, scope: str, canonical: str) -> str:
    """Sign a canonical request at `timestamp` (`YYYYMMDDTHHMMSSZ`) in `scope`."""
    to_sign = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256_hex(canonical.encode())}"
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
