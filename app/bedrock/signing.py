"""Signs requests to Bedrock with SigV4, its key cached for the day, or with a bearer token.

An order of magnitude cheaper than botocore's signer, and equal to it byte for byte; see ARCHITECTURE.md.
"""

import time
from collections.abc import Callable
from functools import lru_cache

from app.bedrock.credentials import BearerToken, Identity
from app.wire import sigv4

SIGNING_NAME = "bedrock"
# the one service whose signatures have a name of their own (contracts 0.1)
MANTLE = "bedrock-mantle"

Headers = list[tuple[str, str]]


class Signer:
    """Makes the headers that prove who the gateway is.

    Args:
        region: the region in the signature's scope.
        clock: seconds since the epoch.
    """

    def __init__(self, region: str, clock: Callable[[], float] = time.time) -> None:
        self._region = region
        self._clock = clock
        self._key_for: dict[str, tuple[str, str]] = {}
        self._keys: dict[str, bytes] = {}

    def sign(
        self,
        identity: Identity,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Headers,
        body: bytes,
        name: str = SIGNING_NAME,
    ) -> Headers:
        """`headers` with what is needed to be let in; names are lower case, and all of them are signed.

        `path` and `query` are as they travel: already percent-encoded. `name` is the service's, in the scope.
        """
        if isinstance(identity, BearerToken):
            return [*headers, ("authorization", f"Bearer {identity.token}")]
        timestamp = _moment(int(self._clock()))
        date = timestamp[:8]
        proof: Headers = [("x-amz-date", timestamp)]
        if identity.token:
            proof.append(("x-amz-security-token", identity.token))
        canonical, signed = sigv4.canonical_request(
            method, path, query, [*headers, ("host", host), *proof], sigv4.sha256_hex(body)
        )
        scope = f"{date}/{self._region}/{name}/aws4_request"
        signature = sigv4.signature(self._day_key(identity.secret_key, date, name), timestamp, scope, canonical)
        credential = f"{sigv4.ALGORITHM} Credential={identity.access_key}/{scope}"
        authorization = f"{credential}, SignedHeaders={signed}, Signature={signature}"
        return [*headers, *proof, ("authorization", authorization)]

    def _day_key(self, secret: str, date: str, name: str) -> bytes:
        if self._key_for.get(name) != (secret, date):
            self._keys[name] = sigv4.signing_key(secret, date, self._region, name)
            self._key_for[name] = (secret, date)
        return self._keys[name]


@lru_cache(4)
def _moment(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
