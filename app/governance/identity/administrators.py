"""Finds the administrator of a request to the admin API. Callers' keys are not known here."""

import hashlib
import secrets
from collections.abc import Mapping
from functools import partial

from msgspec import Struct

from app.errors import AuthenticationFailed, RateLimited
from app.governance.identity.failed_attempts import FailedAttempts

_ADVICE = "send a key of ADMIN_KEYS as 'Authorization: Bearer <key>', or as 'x-api-key: <key>'"


class Administrator(Struct, frozen=True):
    """Who may use the admin API. name: for the audit log; `key:` and the name of a key."""

    name: str


class Administrators:
    """The administrators of a deployment.

    Args:
        keys: the secrets of each name, from ADMIN_KEYS. failed_attempts: counts wrong keys by address, with those of
            callers.
    """

    def __init__(self, keys: Mapping[str, tuple[str, ...]], failed_attempts: FailedAttempts) -> None:
        self._failed_attempts = failed_attempts
        # keys are looked up by a keyed digest, so that the time of a lookup reveals nothing about a guess
        self._digest = partial(hashlib.blake2s, key=secrets.token_bytes(32))
        self._by_digest = {
            self._digest(secret.encode()).digest(): Administrator(f"key:{name}")
            for name, secrets_ in keys.items()
            for secret in secrets_
        }

    async def authenticate(self, headers: Mapping[str, str], client: str) -> Administrator:
        """Return who sent a request.

        Args:
            headers: by name in lower case. client: the address of the client.

        Raises:
            AuthenticationFailed: no key, an unknown one, or two different ones.
            RateLimited: too many failed from the address.
        """
        try:
            return self._find(headers)
        except AuthenticationFailed as error:
            if wait := self._failed_attempts.note(client):
                message, detail = "too many failed authentications from this address", f"the last: {error.message}"
                raise RateLimited(message, detail=detail, retry_after=wait, is_final=True) from None
            raise

    def _find(self, headers: Mapping[str, str]) -> Administrator:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        bearer = rest.strip() if scheme.lower() == "bearer" else ""
        api_key = headers.get("x-api-key", "").strip()
        secret = bearer or api_key
        if not secret:
            raise AuthenticationFailed(f"no administrator's key: {_ADVICE}")
        if api_key and api_key != secret:
            raise AuthenticationFailed("two different keys: 'Authorization' and 'x-api-key' disagree")
        found = self._by_digest.get(self._digest(secret.encode("utf-8", "surrogateescape")).digest())
        if found is None:
            raise AuthenticationFailed(f"incorrect administrator's key: {_ADVICE}")
        return found
