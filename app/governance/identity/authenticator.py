"""Authenticates callers: a bearer key, an `x-api-key`, or a SigV4 signature made with the key as secret.

A token of an identity provider or of AWS IAM counts as a key; a client certificate counts without one.

boto3 refuses bearer keys over plain http, so a key is also a pair for signing: access key id = its name, or the id of a
virtual key; secret access key = its secret. A signature must cover the body and is valid for five minutes.

Sources:
- docs/reference/contracts/authentication.md#bearer-keys-over-plain-http
- docs/reference/contracts/authentication.md#signed-headers
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.errors import AuthenticationFailed, SignatureRefused
from app.governance.identity.caller import ANONYMOUS, Caller
from app.governance.identity.open_access import OpenAccess
from app.server.request_head import RequestHead
from app.wire import sigv4

if TYPE_CHECKING:
    from app.governance.identity.external_callers import ExternalCallers
    from app.governance.identity.virtual_keys import KeyDirectory, KeyVerifier

_MAX_SIGNED = 128
MAX_SKEW_SECONDS = 300
# stands for no key, in clients that insist on one; their certificate identifies them
CERTIFICATE_KEY = "client-certificate"
# the service names with which clients of Bedrock sign
_SERVICES = frozenset({"bedrock", "bedrock-mantle"})
# headers of these prefixes change what a request does, so a signature must cover them
_COVERED_PREFIXES = ("x-amz-", "x-amzn-bedrock-")
# proxies add this one after the request was signed
_NOT_COVERED = frozenset({"x-amz-cf-id"})
# as nearly every client writes it
_BEARER = "Bearer "
_WRONG_SIGNATURE = (
    "the access key id or the request signature is wrong: the access key id is the name or the id of a key of this "
    "gateway, and the secret access key is its secret"
)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request *, *"
    r"SignedHeaders=([a-z0-9;_-]+) *, *Signature=([0-9a-f]{64})\Z"
)


class SignedClaim(Struct, frozen=True):
    """A SigV4 signature that is checked once the body has been read. name: the caller that it claims."""

    name: str
    verify: Callable[[bytes], Caller]


class PendingClaim(Struct, frozen=True):
    """A claim that this process cannot check by itself.

    resolve: asks the database or another service, for two seconds at most. Raises AuthenticationFailed or Overloaded.
    is_proven: not everybody can make one. Others are refused while too many authentications of their address fail.
    """

    resolve: Callable[[], Awaitable[Caller | SignedClaim]]
    is_proven: bool = False


class Authenticator:
    """Finds the caller of a request by its credentials.

    Args:
        keys: the secrets of each name. regions: those that the gateway calls, for which a signature may be.
        open_access: accepts requests whatever their credentials; None for never.
        directory: of virtual keys; None without a database.
        external: finds callers by tokens and certificates; None if the configuration asks for neither.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        keys: Mapping[str, tuple[str, ...]],
        *,
        regions: Collection[str] = (),
        open_access: OpenAccess | None = None,
        directory: KeyDirectory | None = None,
        external: ExternalCallers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = dict(keys)
        self._directory = directory
        self._external = external
        self._regions = frozenset(regions)
        self._open_access = open_access
        self._clock = clock
        # keys are looked up by a keyed digest, so that the time of a lookup reveals nothing about a guess
        self._digest = partial(hashlib.blake2s, key=secrets.token_bytes(32))
        self._callers = {
            self._digest(secret.encode()).digest(): Caller(name)
            for name, secrets_ in keys.items()
            for secret in secrets_
        }
        # what nearly every client sends. Python's hash of texts has a key of its own in each process, so the time of a
        # search tells nothing of a secret
        self._bearers = {f"{_BEARER}{secret}": Caller(name) for name, secrets_ in keys.items() for secret in secrets_}

    def authenticate(
        self, head: RequestHead, client: str = "", scope: Mapping[str, Any] = {}
    ) -> Caller | SignedClaim | PendingClaim:
        """Return the caller, or a claim: to verify once the body has been read, or to resolve before that.

        Args:
            client: the address of the client. scope: of ASGI, for certificates.

        Raises:
            PermissionRefused: see `OpenAccess.check`; or no rule gives a token or a certificate a team.
            AuthenticationFailed: no key, an unknown one, or two different ones.
            SignatureRefused: a signature that is malformed, or out of time.
        """
        if self._open_access is not None:
            self._open_access.check(head, client)
            return ANONYMOUS
        authorization, api_key = head.headers.get("authorization", ""), head.headers.get("x-api-key", "").strip()
        if not api_key and (caller := self._bearers.get(authorization) or self._find_recent(authorization)) is not None:
            return caller
        if authorization.startswith(sigv4.ALGORITHM):
            return self._read_claim(head, authorization)
        scheme, _, rest = authorization.partition(" ")
        bearer = rest.strip() if scheme.lower() == "bearer" else ""
        secret = bearer or api_key
        if self._external is not None and secret in ("", CERTIFICATE_KEY):
            certified = self._find_certificate(self._external, scope)
            if certified is not None:
                return certified
        if not secret:
            raise AuthenticationFailed(
                "no API key: send it as 'Authorization: Bearer <key>', as 'x-api-key: <key>', or sign with SigV4"
            )
        if api_key and api_key != secret:
            raise AuthenticationFailed("two different API keys: 'Authorization' and 'x-api-key' disagree")
        digest = self._digest(secret.encode("utf-8", "surrogateescape")).digest()
        return self._callers.get(digest) or self._find(secret, digest, client)

    def _find_recent(self, authorization: str) -> Caller | None:
        """Return the caller of a virtual key that was used a moment ago."""
        if self._directory is None or not authorization.startswith(_BEARER):
            return None
        secret = authorization[len(_BEARER) :]
        return self._directory.find_recent(self._digest(secret.encode("utf-8", "surrogateescape")).digest())

    def _find(self, secret: str, digest: bytes, client: str) -> Caller | PendingClaim:
        """Find the caller of a token or a virtual key. Raises AuthenticationFailed, PermissionRefused."""
        if self._external is not None and self._external.accepts(secret):
            caller = self._external.find(digest)
            # its own permits bound what a forged token costs
            return caller or PendingClaim(partial(self._external.load, secret, digest, client), is_proven=True)
        if self._directory is None:
            raise AuthenticationFailed("incorrect API key")
        found = self._directory.find(secret, digest)
        return found or PendingClaim(partial(self._directory.load, secret), is_proven=True)

    def _find_certificate(self, external: ExternalCallers, scope: Mapping[str, Any]) -> Caller | PendingClaim | None:
        """Find the caller whose certificate a trusted proxy reports. Raises AuthenticationFailed, PermissionRefused."""
        identity = external.find_certificate(scope)
        if identity is None:
            return None
        caller = external.teams.find(identity)
        return caller or PendingClaim(partial(external.load_identity, identity), is_proven=True)

    def _read_claim(self, head: RequestHead, authorization: str) -> SignedClaim | PendingClaim:
        match = _AUTHORIZATION.match(authorization)
        if match is None:
            raise SignatureRefused("the Authorization header is not a SigV4 signature")
        name, date, region, service, signed_names, signature = match.groups()
        timestamp = head.headers.get("x-amz-date", "")
        names = signed_names.split(";")
        if len(names) > _MAX_SIGNED:
            raise SignatureRefused("the signature covers too many headers")
        if not {"host", "x-amz-date"} <= set(names):
            raise SignatureRefused("the signature must cover the headers host and x-amz-date")
        if service not in _SERVICES:
            raise SignatureRefused(f"the signature is for the service {service}, not for bedrock")
        if region not in self._regions:
            served = " or ".join(sorted(self._regions))
            raise SignatureRefused(f"the signature is for the region {region}: set {served} in the client")
        uncovered = {key for key in head.headers if key.startswith(_COVERED_PREFIXES)} - {*names, *_NOT_COVERED}
        if uncovered:
            raise SignatureRefused(f"the signature must cover the header {min(uncovered)}")
        self._check_time(timestamp, date)
        scope = f"{date}/{region}/{service}/aws4_request"
        signed = _Signed(head, name, tuple(names), signature, timestamp, scope)
        known_secrets = self._keys.get(name)
        if known_secrets is not None:
            return signed.claim(known_secrets, Caller(name))
        return self._claim_of_directory(signed)

    def _claim_of_directory(self, signed: _Signed) -> SignedClaim | PendingClaim:
        """Return the claim of a virtual key. An unknown one gets the answer to a wrong signature: no name is told."""
        directory = self._directory
        if directory is None:
            raise SignatureRefused(_WRONG_SIGNATURE)

        async def resolve() -> SignedClaim:
            try:
                return signed.claim_of(await directory.load_verifier(signed.name))
            except AuthenticationFailed:
                raise SignatureRefused(_WRONG_SIGNATURE) from None

        try:
            verifier = directory.find_verifier(signed.name)
        except AuthenticationFailed:
            raise SignatureRefused(_WRONG_SIGNATURE) from None
        return PendingClaim(resolve) if verifier is None else signed.claim_of(verifier)

    def _check_time(self, timestamp: str, date: str) -> None:
        try:
            moment = sigv4.moment_of(timestamp)
        except ValueError:
            raise SignatureRefused("x-amz-date must be a time such as 20260131T235959Z") from None
        if not timestamp.startswith(date):
            raise SignatureRefused("the date in the credential scope is not that of x-amz-date")
        if abs(self._clock() - moment) > MAX_SKEW_SECONDS:
            raise SignatureRefused(
                f"signature expired: {timestamp} is more than 5 minutes away from this gateway's clock"
            )


class _Signed(Struct, frozen=True):
    """A signed request. names: of the headers that the signature covers. scope: date/region/service/aws4_request."""

    head: RequestHead
    name: str
    names: tuple[str, ...]
    signature: str
    timestamp: str
    scope: str

    def claim(self, known_secrets: Collection[str], caller: Caller, refusal: str = "") -> SignedClaim:
        """Return the claim that one of these secrets made the signature. refusal: why the caller is refused then."""

        def verify(body: bytes) -> Caller:
            self._check(body, known_secrets)
            if refusal:
                raise AuthenticationFailed(refusal)
            return caller

        return SignedClaim(caller.name, verify)

    def claim_of(self, verifier: KeyVerifier) -> SignedClaim:
        """Return the claim of a virtual key."""
        return self.claim(verifier.secrets, verifier.caller, verifier.refusal)

    def _check(self, body: bytes, known_secrets: Collection[str]) -> None:
        """Raise SignatureRefused unless one of the secrets made the signature."""
        head, payload_hash = self.head, sigv4.sha256_hex(body)
        if head.headers.get("x-amz-content-sha256") not in (None, "", payload_hash):
            raise SignatureRefused("x-amz-content-sha256 is not the hash of the body")
        headers = [(key, head.headers.get(key, "")) for key in self.names]
        canonical, _ = sigv4.canonical_request(head.method, head.path, head.query, headers, payload_hash)
        date, region, service, _ = self.scope.split("/")
        for secret in known_secrets:
            key = sigv4.signing_key(secret, date, region, service)
            if hmac.compare_digest(self.signature, sigv4.signature(key, self.timestamp, self.scope, canonical)):
                return
        raise SignatureRefused(_WRONG_SIGNATURE)
