"""Verifies callers with AWS credentials: they send a presigned `sts:GetCallerIdentity` as their key.

Only AWS can check its signature, so the gateway sends the request and reads who made it. What is sent is built anew
from parts that were checked: a host of STS, the one action, and the header that binds the signature to this gateway. So
a token leads nowhere else, and one that was made for another service is of no use here.

docs/identity.md#aws-iam says how a token is made.
"""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from app.bedrock.transport import Transport
from app.config.identity_tables import IamRow
from app.errors import AuthenticationFailed, Overloaded
from app.governance.identity.claim_rules import ClaimRules
from app.governance.identity.http_documents import NotFetched, http_get
from app.governance.identity.sts import GATEWAY_HEADER, PREFIX, QUERY, sts_host
from app.governance.identity.verified_tokens import Checks, Verified
from app.wire import json, sigv4

_MAX_LENGTH = 8 * 1024
_MAX_BYTES = 64 * 1024
_STS_SECONDS = 5.0
# requests to STS at once: everybody can make tokens that look right
_MAX_PARALLEL = 32
# STS accepts a signature for this long, whatever it says of itself
_MAX_LIFE_SECONDS = 900.0
_MAX_SKEW_SECONDS = 300.0
_SIGNED_HEADERS = f"host;{GATEWAY_HEADER}"
_REQUIRED = frozenset(
    {
        *QUERY,
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires"),
        *("X-Amz-SignedHeaders", "X-Amz-Signature"),
    }
)
_OPTIONAL = frozenset({"X-Amz-Security-Token"})
_CREDENTIAL = re.compile(r"[A-Z0-9]{16,128}/[0-9]{8}/([a-z0-9-]+)/sts/aws4_request\Z")
_SECONDS = re.compile(r"[0-9]{1,6}\Z")
_ARN = re.compile(r"arn:(aws[a-z-]*):(iam|sts)::([0-9]{12}):(root|[a-z-]+/[\w+=,.@/-]+)\Z", re.ASCII)
_WRONG = "the IAM token is malformed: make it with `outcrop token iam`"


class _Presigned(Struct, frozen=True):
    """A request to STS. ends_at: when its signature expires, in seconds since the epoch."""

    url: str
    ends_at: float


class IamVerifier:
    """Verifies tokens of AWS IAM. See `TokenVerifier`.

    Args:
        transport: follows no redirects. region: whose STS is asked if the row names none.
        clock: seconds since the epoch.
    """

    def __init__(self, row: IamRow, region: str, transport: Transport, clock: Callable[[], float] = time.time) -> None:
        self._gateway = row.gateway
        self._hosts = {sts_host(name): name for name in row.regions or [region]}
        self._rules = ClaimRules("iam", row.rules)
        self._transport = transport
        self._clock = clock
        self._permits = asyncio.Semaphore(_MAX_PARALLEL)

    def accepts(self, token: str) -> bool:
        """True for what `outcrop token iam` prints."""
        return token.startswith(PREFIX)

    async def verify(self, token: str) -> Verified:
        """Verify a token. See `TokenVerifier.verify`."""
        presigned = _parse(token, self._hosts, self._clock())
        headers = ((GATEWAY_HEADER, self._gateway), ("accept", "application/json"))
        try:
            async with self._permits:
                status, body = await http_get(
                    self._transport, presigned.url, headers, max_bytes=_MAX_BYTES, seconds=_STS_SECONDS
                )
        except NotFetched as error:
            raise Overloaded("AWS STS cannot be asked who you are: try again", detail=str(error)) from None
        arn = _arn_of(status, body)
        claims = _claims_of(arn)
        subject, person = arn.removeprefix("arn:"), claims["session"] or claims["name"]
        return Verified(self._rules.apply(claims, subject, person), presigned.ends_at)

    def checks(self) -> Checks:
        """Return a connection to each host of STS."""
        return {f"connect to {host}": partial(self._connect, host) for host in self._hosts}

    async def _connect(self, host: str) -> str:
        if problem := await self._transport.probe(f"https://{host}"):
            raise Overloaded(f"AWS STS cannot be reached: {problem}", detail=host)
        return "AWS STS can be reached"

    async def close(self) -> None:
        """Nothing runs in the background."""


def _parse(token: str, hosts: Mapping[str, str], now: float) -> _Presigned:
    """Return the request that a token stands for.

    Raises:
        AuthenticationFailed: it is not exactly a presigned GetCallerIdentity for a known host, or it has expired.
    """
    encoded = token.removeprefix(PREFIX)
    if len(token) > _MAX_LENGTH:
        raise AuthenticationFailed(_WRONG, detail="too long")
    try:
        url = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode("ascii")
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        raise AuthenticationFailed(_WRONG, detail="no URL") from None
    values = dict(pairs)
    if not url.isprintable() or url != f"https://{parts.netloc}/?{parts.query}" or parts.netloc not in hosts:
        served = " or ".join(sorted(hosts))
        raise AuthenticationFailed(f"the IAM token is not for {served}: set the region when you make it")
    if len(values) != len(pairs) or values.keys() - _OPTIONAL != _REQUIRED:
        raise AuthenticationFailed(_WRONG, detail="parameters")
    if any(values[name] != value for name, value in QUERY.items()) or values["X-Amz-Algorithm"] != sigv4.ALGORITHM:
        raise AuthenticationFailed(_WRONG, detail="action")
    if values["X-Amz-SignedHeaders"] != _SIGNED_HEADERS:
        raise AuthenticationFailed(f"the IAM token must sign the headers host and {GATEWAY_HEADER}, and no others")
    credential = _CREDENTIAL.match(values["X-Amz-Credential"])
    if credential is None or credential[1] != hosts[parts.netloc]:
        raise AuthenticationFailed(_WRONG, detail="credential scope")
    ends_at = _end_of(values["X-Amz-Date"], values["X-Amz-Expires"], now)
    return _Presigned(f"https://{parts.netloc}/?{sigv4.spelt_as_signed(parts.query)}", ends_at)


def _end_of(date: str, expires: str, now: float) -> float:
    """Return when a signature expires. Raises AuthenticationFailed: that is past, or it begins in the future."""
    try:
        begins = sigv4.moment_of(date)
        life = float(expires) if _SECONDS.match(expires) else 0.0
    except ValueError:
        raise AuthenticationFailed(_WRONG, detail="times") from None
    ends_at = begins + min(life, _MAX_LIFE_SECONDS)
    if now >= ends_at:
        raise AuthenticationFailed("the IAM token has expired: make a new one")
    if begins > now + _MAX_SKEW_SECONDS:
        raise AuthenticationFailed("the IAM token is not valid yet: its clock is ahead of this gateway's")
    return ends_at


def _arn_of(status: int, body: bytes) -> str:
    """Return the ARN in an answer of STS.

    Raises:
        AuthenticationFailed: STS refuses the signature. Overloaded: it answers neither yes nor no.
    """
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if status == 200 and isinstance(document, dict):
        found = _member(document, "GetCallerIdentityResponse", "GetCallerIdentityResult", "Arn")
        if isinstance(found, str) and _ARN.match(found):
            return found
    code = _member(document, "Error", "Code")
    if status in (400, 403) and isinstance(code, str) and not code.startswith("Throttl"):
        # a name of AWS's, such as SignatureDoesNotMatch or ExpiredToken
        named = code if code.isalnum() and len(code) <= 64 else ""
        raise AuthenticationFailed(
            "AWS STS refuses the IAM token: it is forged, expired or for another gateway", detail=named
        )
    raise Overloaded("AWS STS cannot be asked who you are: try again", detail=f"status {status}")


def _member(document: object, *path: str) -> object:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _claims_of(arn: str) -> dict[str, str]:
    """Return what rules may match. The `arn` of an assumed role is the role's, without the role's path."""
    match = _ARN.match(arn)
    partition, _, account, resource = match.groups() if match else ("", "", "", "")
    kind, _, rest = resource.partition("/")
    if kind == "assumed-role":
        name, _, session = rest.partition("/")
        return {
            "arn": f"arn:{partition}:iam::{account}:role/{name}",
            "account": account,
            "type": "role",
            "name": name,
            "session": session,
        }
    name = rest.rpartition("/")[2] or kind
    return {"arn": arn, "account": account, "type": kind, "name": name, "session": ""}
