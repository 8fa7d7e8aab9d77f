"""Signs requests to Bedrock with SigV4, or with a bearer token.

What does not change from request to request is computed once per target, identity and day. The result equals
botocore's, byte for byte.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import Struct

from app.bedrock.credentials import BearerToken, Credentials, Identity
from app.bedrock.transport import Headers
from app.wire import sigv4

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SIGNING_NAME = "bedrock"
MANTLE = "bedrock-mantle"
# services whose signatures have names of their own: docs/reference/contracts/bedrock-endpoints.md#mantle
OWN_NAMES = frozenset({MANTLE, "servicequotas", "monitoring"})

_MAX_TEMPLATES = 1024
# callers choose parts of a path, and long ones are not kept
_MAX_TEMPLATE_LENGTH = 2048
# of HMAC: RFC 2104
_BLOCK, _INNER_PAD, _OUTER_PAD = 64, 0x36, 0x5C


class _SigningKey(Struct, frozen=True):
    """The two digests of HMAC after their blocks of the key: copies of them take a third of the time of `hmac`."""

    inner: "Hash"
    outer: "Hash"

    @classmethod
    def of(cls, key: bytes) -> "_SigningKey":
        """Return the digests for a key of at most a block."""
        block = key.ljust(_BLOCK, b"\0")
        return cls(*(sha256(bytes(byte ^ pad for byte in block)) for pad in (_INNER_PAD, _OUTER_PAD)))


class SigningTarget(Struct, frozen=True):
    """What signed requests to one target share. path, query: percent-encoded as sent. name: the service, as signed."""

    method: str
    host: str
    path: str
    query: str = ""
    headers: Headers = ()
    name: str = SIGNING_NAME


class _Template(Struct, frozen=True):
    """A canonical request and an `authorization` header, but for what differs by request.

    before, after: the canonical request up to the timestamp, and from there to the body's hash. token: the header of
    the session token, if any. authorization: the header up to the signature.
    """

    before: str
    after: str
    scope: str
    key: _SigningKey
    token: Headers
    authorization: str


class _Day(Struct, frozen=True):
    """The templates of one identity on one day; keys: the signing key of each service."""

    identity: Credentials
    date: str
    keys: dict[str, _SigningKey]
    templates: dict[SigningTarget, _Template]


class Signer:
    """Makes the headers that authenticate the gateway to AWS.

    Args:
        region: the region in the signature's scope.
        clock: seconds since the epoch.
    """

    def __init__(self, region: str, clock: Callable[[], float] = time.time) -> None:
        self._region = region
        self._clock = clock
        self._day = _Day(Credentials("", ""), "", {}, {})

    def sign(self, identity: Identity, target: SigningTarget, body: bytes) -> list[tuple[str, str]]:
        """Return the target's headers and those that authenticate the request; all of the target's are signed."""
        if isinstance(identity, BearerToken):
            return [*target.headers, ("authorization", f"Bearer {identity.token}")]
        timestamp = _timestamp(int(self._clock()))
        day = self._day
        if day.identity is not identity or not timestamp.startswith(day.date):
            day = self._day = _Day(identity, timestamp[:8], {}, {})
        template = day.templates.get(target) or self._make_template(day, target)
        canonical = f"{template.before}{timestamp}{template.after}{sha256(body).hexdigest()}"
        digest = sha256(canonical.encode()).hexdigest()
        to_sign = f"{sigv4.ALGORITHM}\n{timestamp}\n{template.scope}\n{digest}"
        inner, outer = template.key.inner.copy(), template.key.outer.copy()
        inner.update(to_sign.encode())
        outer.update(inner.digest())
        return [
            *target.headers,
            ("x-amz-date", timestamp),
            *template.token,
            ("authorization", f"{template.authorization}{outer.hexdigest()}"),
        ]

    def _make_template(self, day: _Day, target: SigningTarget) -> _Template:
        token = (("x-amz-security-token", day.identity.token),) if day.identity.token else ()
        canonical, signed = sigv4.canonical_request(
            target.method,
            target.path,
            target.query,
            [*target.headers, ("host", target.host), ("x-amz-date", ""), *token],
            payload_hash="",
        )
        before, date, after = canonical.partition("\nx-amz-date:")
        key = day.keys.get(target.name)
        if key is None:
            secret = day.identity.secret_key
            key = _SigningKey.of(sigv4.signing_key(secret, day.date, self._region, target.name))
            day.keys[target.name] = key
        scope = f"{day.date}/{self._region}/{target.name}/aws4_request"
        credential = f"{sigv4.ALGORITHM} Credential={day.identity.access_key}/{scope}"
        authorization = f"{credential}, SignedHeaders={signed}, Signature="
        template = _Template(before + date, after, scope, key, token, authorization)
        if len(day.templates) >= _MAX_TEMPLATES:
            day.templates.clear()
        length = len(target.path) + len(target.query) + sum(len(name) + len(value) for name, value in target.headers)
        if length <= _MAX_TEMPLATE_LENGTH:
            day.templates[target] = template
        return template


@lru_cache(4)
def _timestamp(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
