"""Finds the administrator of a request to the admin API. Callers' keys are not known here."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.failed_attempts import FailedAttempts, too_many_failures

if TYPE_CHECKING:
    from app.governance.identity.external_callers import ExternalCallers

# of the rules under `[identity]` in the configuration file
ADMIN_ROLE = "admin"
_ADVICE = "send a key of ADMIN_KEYS as 'Authorization: Bearer <key>', or as 'x-api-key: <key>'"


class Administrator(Struct, frozen=True):
    """Who may use the admin API. name: for the audit log; `key:` and the name of a key, or as `oidc/corp/alice`."""

    name: str


class Administrators:
    """The administrators of a deployment.

    Args:
        keys: the secrets of each name, from ADMIN_KEYS. failed_attempts: counts wrong keys by address, with those of
            callers.
        external: verifies tokens, whose role `admin` makes an administrator; None if the configuration asks for none.
    """

    def __init__(
        self,
        keys: Mapping[str, tuple[str, ...]],
        failed_attempts: FailedAttempts,
        external: ExternalCallers | None = None,
    ) -> None:
        self._failed_attempts = failed_attempts
        self._external = external
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
            AuthenticationFailed: no key, an unknown one, or two different ones; or a token that is refused.
            PermissionRefused: a token without the role. Overloaded: a token cannot be verified now.
            TooManyFailures: too many failed from the address.
        """
        try:
            return await self._find(headers, client)
        except AuthenticationFailed as error:
            if wait := self._failed_attempts.note(client):
                raise too_many_failures(wait, f"the last: {error.message}") from None
            raise

    async def _find(self, headers: Mapping[str, str], client: str) -> Administrator:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        bearer = rest.strip() if scheme.lower() == "bearer" else ""
        api_key = headers.get("x-api-key", "").strip()
        secret = bearer or api_key
        if not secret:
            raise AuthenticationFailed(f"no administrator's key: {_ADVICE}")
        if api_key and api_key != secret:
            raise AuthenticationFailed("two different keys: 'Authorization' and 'x-api-key' disagree")
        digest = self._digest(secret.encode("utf-8", "surrogateescape")).digest()
        found = self._by_digest.get(digest)
        if found is not None:
            return found
        if self._external is None or not self._external.accepts(secret):
            raise AuthenticationFailed(f"incorrect administrator's key: {_ADVICE}")
        identity = await self._external.identify(secret, digest, client)
        if ADMIN_ROLE not in identity.roles:
            raise PermissionRefused(f"no rule of this deployment gives you the role {ADMIN_ROLE}: ask its operator")
        return Administrator(identity.name)
